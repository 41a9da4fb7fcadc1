import { readdirSync, readFileSync, statSync } from "node:fs"
import { setTimeout as sleep } from "node:timers/promises"
import { OvmError, toOvmError } from "../errors.ts"
import { limiter } from "../files/limit.ts"
import type { Exit, Machine, MachineRecord } from "../vmm/machine.ts"
import { foreign, isAlive, isForeign } from "../vmm/process/identity.ts"
import { ProcessMachine, unreachable } from "../vmm/process/machine.ts"
import type { Vmm } from "../vmm/vmm.ts"
import { followParts } from "./degraded.ts"
import { entryOf, type Instance } from "./instance.ts"
import { followPorts, settlePorts } from "./settled-ports.ts"
import { settleSnapshot } from "./snapshot.ts"
import { hasEnded } from "./states.ts"

/** Machines that are being asked at a time. One that does not answer holds its place for some seconds. */
const WIDTH = 32
/** Between two attempts at one machine: at first and at most. */
const FIRST_MS = 20
const LAST_MS = 1000
/** From the end of a VMM's control connection to that of its process, as a rule. */
const ENDING_MS = 1000
/** Descriptors that adopted machines leave for requests and files. */
const SPARE_DESCRIPTORS = 16

export interface AdoptionOptions {
  readonly vmms: readonly Vmm[]
  /** Called with each machine that an instance gets here. */
  readonly onMachine: (instance: Instance) => void
  readonly log: (event: string, instance: Instance, fields: Record<string, unknown>) => void
}

/**
 * Takes machines over whose processes live, and again those whose VMM stopped listening, for as long as they live
 * (spec/instance-states.md, "What cannot be reached or read").
 */
export class Adoption {
  readonly #options: AdoptionOptions
  readonly #turn = limiter(WIDTH)
  readonly #closing = new AbortController()

  constructor(options: AdoptionOptions) {
    this.#options = options
  }

  /** From here on the instance's machine is its process, until its VMM answers. Settles when that was tried once. */
  async begin(instance: Instance, record: MachineRecord, why?: OvmError): Promise<void> {
    const machine = new ProcessMachine(record, () => this.exitOf(record))
    const over = Promise.withResolvers<void>()
    const tried = Promise.withResolvers<void>()
    instance.machine = machine
    instance.silence = { over: over.promise, ...(why && { error: why }) }
    this.#options.onMachine(instance)
    this.#pursue(instance, machine, () => tried.resolve())
      .catch((problem) => this.#options.log("adoption failed", instance, { problem: String(problem) }))
      .finally(() => {
        over.resolve()
        tried.resolve()
      })
    await tried.promise
  }

  /** How a machine ended whose process is gone; its adapter may know more than a status. Never throws. */
  async exitOf(record: MachineRecord): Promise<Exit> {
    const vmm = this.#options.vmms.find(({ name }) => name === record.vmm)
    const ended = await vmm?.adopt(record).catch(() => undefined)
    return await (ended ?? new ProcessMachine(record)).exited
  }

  /**
   * Watches for the end of the connection to a machine that is reached, and of what is beside its VMM: neither need be
   * the machine's.
   */
  watch(instance: Instance, machine: Machine): void {
    followParts(instance, machine, this.#options.log, this.#closing.signal)
    machine.cut?.then(async () => {
      await Promise.race([machine.exited, this.#pause(ENDING_MS)])
      const { state } = instance
      // What is being stopped is ended by its process if need be.
      if (instance.machine !== machine || hasEnded(state) || state === "stopping" || this.#closed) return
      if (!(await isAlive(machine.record))) return
      machine.detach()
      const why = unreachable(machine.record, new OvmError("OVM_VMM_FAILED", "its monitor left us"))
      this.#options.log("unreachable", instance, { error: entryOf(why) })
      await this.begin(instance, machine.record, why)
    })
  }

  close(): void {
    this.#closing.abort()
  }

  get #closed(): boolean {
    return this.#closing.signal.aborted
  }

  async #pursue(instance: Instance, machine: ProcessMachine, tried: () => void): Promise<void> {
    const isOver = () => this.#closed || instance.machine !== machine || hasEnded(instance.state)
    const exited = machine.exited.then(() => true)
    for (let pause = FIRST_MS; !isOver(); pause = Math.min(pause * 2, LAST_MS)) {
      const found = await this.#turn(() => this.#ask(machine.record)).catch((thrown) => toOvmError(thrown))
      if (isOver()) {
        if (!(found instanceof OvmError)) found.detach()
        return
      }
      // Its end is on the way; until then nobody knows what its guest did last, and nobody says so.
      if (!(found instanceof OvmError) && found.ended) {
        tried()
        await machine.exited
        return
      }
      if (!(found instanceof OvmError)) return this.#reached(instance, machine, found)
      if (instance.silence?.error?.message !== found.message)
        this.#options.log("unreachable", instance, { error: entryOf(found) })
      if (instance.silence) instance.silence = { ...instance.silence, error: found }
      tried()
      // Whoever watches it sees to its end, for which there is much to read and write: nothing is left to ask.
      if (await Promise.race([exited, this.#pause(pause)])) return
    }
  }

  async #ask(record: MachineRecord): Promise<Machine> {
    const vmm = this.#options.vmms.find(({ name }) => name === record.vmm)
    if (!vmm) throw unreachable(record, new OvmError("OVM_VMM_MISSING", "this runtime has no adapter for it"))
    if (isForeign(record)) throw unreachable(record, foreign(record))
    assertDescriptors(record)
    return await vmm.adopt(record, { signal: this.#closing.signal })
  }

  async #reached(instance: Instance, before: ProcessMachine, machine: Machine): Promise<void> {
    before.detach()
    instance.machine = machine
    await settleSnapshot(instance)
    // Where nobody had tried in vain, nobody was told.
    if (instance.silence?.error) this.#options.log("reachable", instance, {})
    instance.silence = undefined
    if (instance.state === "starting")
      await instance.become("running", { started: instance.info.started ?? new Date().toISOString() })
    this.#options.onMachine(instance)
    this.watch(instance, machine)
    if (await settlePorts(instance, this.#options.log)) this.followPorts(instance)
  }

  /** Sees to the ports of its machine that may close by themselves. */
  followPorts(instance: Instance): void {
    const { log } = this.#options
    followPorts(instance, log, this.#closing.signal).catch((problem) =>
      log("ports not followed", instance, { problem: String(problem) }),
    )
  }

  async #pause(ms: number): Promise<void> {
    await sleep(ms, undefined, { ref: false, signal: this.#closing.signal }).catch(() => {})
  }
}

/** A daemon whose every descriptor is a machine's could not even be asked to stop one. */
function assertDescriptors(record: MachineRecord): void {
  if (freeDescriptors() >= SPARE_DESCRIPTORS) return
  const why = new OvmError("OVM_TOO_MANY", "this daemon has too few file descriptors left (ulimit -n)")
  throw unreachable(record, why)
}

/** None where it cannot be seen, as without any left. */
function freeDescriptors(): number {
  try {
    const limit = /^Max open files\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1]
    // Since Linux 6.2 the folder's size is how many there are: two hundred machines need not count two hundred times.
    const used = statSync("/proc/self/fd").size || readdirSync("/proc/self/fd").length
    return Number(limit ?? Number.POSITIVE_INFINITY) - used
  } catch {
    return 0
  }
}
