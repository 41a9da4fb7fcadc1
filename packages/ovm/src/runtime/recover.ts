import { rmdirSync, statSync } from "node:fs"
import { join } from "node:path"
import { toOvmError } from "../errors.ts"
import { sweepTemporaries } from "../files/temporary.ts"
import type { MachineRecord } from "../vmm/machine.ts"
import { exitedAt } from "../vmm/process/exit.ts"
import { isHeld } from "../vmm/process/held.ts"
import { isAlive } from "../vmm/process/identity.ts"
import { ProcessMachine } from "../vmm/process/machine.ts"
import { endStray, vmmIn } from "../vmm/process/stray.ts"
import type { Adoption } from "./adoption.ts"
import type { Log } from "./ending.ts"
import { toldEnd } from "./ends.ts"
import { type Found, findInstances, look, type Unreadable } from "./find.ts"
import { entryOf, Instance } from "./instance.ts"
import type { InstanceInfo } from "./interfaces.ts"
import { askedVolumes, keepVolumes, keptVolumes } from "./kept-volumes.ts"
import { type InstanceRecord, removeDirectory } from "./record.ts"
import { cutOff } from "./restart-policy.ts"
import { removeLeftovers } from "./scratch.ts"
import { hasEnded } from "./states.ts"

export interface RecoveryOptions {
  /** Directory that holds one directory an instance. */
  readonly folder: string
  /** By id: what is found comes in here, and what turns out to be nothing leaves it. */
  readonly instances: Map<string, Instance>
  readonly adoption: Adoption
  /** Called with every instance whose record can be read, before anything is done about it. */
  readonly onInstance: (instance: Instance) => void
  /** Called with an instance that gets a machine which nobody can ask. */
  readonly onMachine: (instance: Instance) => void
  /** Called with one whose restart an earlier daemon has begun. */
  readonly onRestart: (instance: Instance) => void
  /** Called with one that was put aside. */
  readonly onStandby: (instance: Instance) => Promise<void>
  readonly log: (event: string, fields: Record<string, unknown>) => void
  /** Hears of every end that is found. */
  readonly told: Log
}

/** What an earlier daemon left (spec/instance-states.md, "Adoption"; docs/design/0023). */
export class Recovery {
  readonly #options: RecoveryOptions

  constructor(options: RecoveryOptions) {
    this.#options = options
  }

  /**
   * Takes in all that is there. What that takes is done behind it: `tried` settles when everything was tried once, and
   * never rejects. Throws if the folder of the instances cannot be read.
   */
  async begin(): Promise<{ readonly tried: Promise<unknown> }> {
    const { folder, log } = this.#options
    const found = findInstances(folder, (path) => log("not an instance", { path }))
    const works: (() => Promise<void>)[] = []
    for (const one of found) works.push(await this.#takeIn(one))
    this.#inOrder()
    return { tried: Promise.all(works.map((work) => work())) }
  }

  /** Looks again at what could not be read. */
  async again(): Promise<void> {
    const { folder, instances, log } = this.#options
    for (const [id, before] of instances) {
      const found = before.unreadable && !before.removing ? look(folder, id) : undefined
      if (!found || !("record" in found)) continue
      log("readable again", { instance_id: id })
      before.machine?.detach()
      await (await this.#takeIn(found))()
    }
  }

  /** Gives what is left to be done about it. */
  async #takeIn(found: Found): Promise<() => Promise<void>> {
    const { folder, instances, onInstance, log } = this.#options
    const directory = join(folder, found.id)
    const told = (work: () => Promise<void>) => () =>
      work().catch((thrown) => {
        const { message } = toOvmError(thrown)
        log("recovery failed", { instance_id: found.id, error: message })
      })
    if ("nobodys" in found)
      return told(async () => {
        await endStray(directory)
        await removeDirectory(directory)
      })
    if ("record" in found) {
      const record = await asItIs(found.record, directory)
      const kept = keptVolumes(directory)
      const volumes = kept ?? askedVolumes(record.request)
      const instance = new Instance(directory, record.info, { ...record, volumes })
      instances.set(found.id, instance)
      onInstance(instance)
      return told(async () => {
        // First of all: whatever is asked of it from now on finds that this is being done.
        try {
          await this.#revive(instance, record)
        } finally {
          if (instance.again) this.#options.onRestart(instance)
        }
        await sweepTemporaries(directory, 0)
        // Of a machine of before, or lost: where there is no room for it now, the next daemon makes it.
        if (!kept && volumes) keepVolumes(directory, volumes)
      })
    }
    return told(await this.#keep(found, directory))
  }

  /** The oldest first; and a name is one instance's alone, first of all that of those which can be read. */
  #inOrder(): void {
    const { instances } = this.#options
    const all = [...instances.values()]
    const names = new Set(all.flatMap(({ info, unreadable }) => (unreadable ? [] : [info.name])))
    for (const instance of all.filter(({ unreadable }) => unreadable)) {
      if (names.has(instance.info.name)) instance.note({ name: instance.id })
      names.add(instance.info.name)
    }
    instances.clear()
    for (const instance of all.sort((a, b) => a.info.created.localeCompare(b.info.created)))
      instances.set(instance.id, instance)
  }

  async #revive(instance: Instance, { info, machine }: InstanceRecord): Promise<void> {
    const { directory } = instance
    if (instance.standby) return await this.#options.onStandby(instance)
    const record = machine ?? (await this.#unrecorded(instance))
    if (record && !hasEnded(info.state)) {
      const living = await livingOf(record)
      if (living) return this.#options.adoption.begin(instance, living)
      const at = exitedAt(directory)
      // What somebody stopped has been stopped: its restart policy has no say.
      instance.stopMethod = Promise.resolve("already")
      await instance.finish(await this.#options.adoption.exitOf(record), at)
      const { info: found } = instance
      this.#options.told(found.state, instance, {
        ...toldEnd(found),
        ...(at && { finished: at.toISOString() }),
      })
    }
    await removeLeftovers(directory)
  }

  /**
   * One without a machine on record was still starting: nobody holds its plan any more, so that what may run of it is
   * ended.
   */
  async #unrecorded(instance: Instance): Promise<MachineRecord | undefined> {
    const { directory, info } = instance
    if (hasEnded(info.state)) return undefined
    const asked = info.state === "starting" || info.state === "stopping"
    const vmm = asked ? undefined : await vmmIn(directory)
    if (vmm) return { ...placeOf(directory, info), ...vmm }
    await endStray(directory)
    await instance.fail(cutOff())
    this.#options.told(instance.state, instance, { error: instance.info.error })
    return undefined
  }

  /** Of a record that cannot be read the machine is what works in its directory. */
  async #keep(found: Unreadable & { readonly id: string }, directory: string): Promise<() => Promise<void>> {
    const { instances, onMachine, log } = this.#options
    // What cannot be looked at just now is looked at again with the record (`again`).
    const vmm = await vmmIn(directory).catch(() => undefined)
    if (found.empty && !vmm) {
      // A crash between making it and anything else. Only what is empty can be removed so.
      return async () => rmdirSync(directory)
    }
    const info = shownOf(found, directory, vmm !== undefined)
    const instance = new Instance(directory, info, { volumes: keptVolumes(directory) })
    instance.unreadable = found.fault
    instances.set(found.id, instance)
    log("unreadable", { instance_id: found.id, error: found.fault.message })
    return async () => {
      if (!vmm) return
      instance.machine = new ProcessMachine({ ...placeOf(directory, info), ...vmm })
      instance.silence = { error: found.fault, over: instance.ended }
      onMachine(instance)
    }
  }
}

/** One that has ended according to its record, and whose VMM lives, runs (OVMS-STA-020). */
async function asItIs(record: InstanceRecord, directory: string): Promise<InstanceRecord> {
  if (!hasEnded(record.info.state) || !mayBeHeld(directory)) return record
  const vmm = await vmmIn(directory).catch(() => undefined)
  if (!vmm) return record
  const { exit: _, finished: __, stop_method: ___, error: ____, ...info } = record.info
  const machine = { ...placeOf(directory, info), ...record.machine, ...vmm }
  const { again: _____, ...others } = record
  return { ...others, info: { ...info, state: "running" }, machine }
}

/** Whatever the record says of its process, what works in the directory is its machine. */
async function livingOf(record: MachineRecord): Promise<MachineRecord | undefined> {
  if (await isAlive(record)) return record
  const vmm = await vmmIn(record.directory)
  return vmm && { ...record, ...vmm }
}

function placeOf(directory: string, { vmm }: InstanceInfo) {
  const { name = "vmm", version = "", accelerator = "" } = vmm ?? {}
  return { vmm: name, version, accelerator, directory }
}

function shownOf(
  { id, known, fault }: Unreadable & { readonly id: string },
  directory: string,
  lives: boolean,
): InstanceInfo {
  const ended = known.state && hasEnded(known.state) ? known.state : "failed"
  return {
    instance_id: id,
    name: id,
    image: { reference: "" },
    resources: {},
    timings_ms: {},
    warnings: [],
    created: changedAt(directory).toISOString(),
    ...known,
    state: lives ? "running" : ended,
    error: entryOf(fault),
  }
}

/**
 * When something was last made or removed in a directory, which is after it was made itself; long ago if nobody can
 * say.
 */
function changedAt(directory: string): Date {
  try {
    return statSync(directory).mtime
  } catch {
    return new Date(0)
  }
}

function mayBeHeld(directory: string): boolean {
  try {
    return isHeld(directory) === true
  } catch {
    return true
  }
}
