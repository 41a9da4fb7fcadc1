import { mkdir } from "node:fs/promises"
import { setTimeout as sleep } from "node:timers/promises"
import { type Digest, isDigest } from "../content/digest.ts"
import type { Bytes, Call } from "../content/interfaces.ts"
import { createOverlay } from "../disk/overlay.ts"
import { OvmError, toOvmError } from "../errors.ts"
import { sweepTemporaries } from "../files/replace.ts"
import type { Images } from "../images/images.ts"
import { readConsole } from "../vmm/console.ts"
import type { Machine, MachineRecord, Vmm } from "../vmm/interfaces.ts"
import { type Admission, accept, countRunning } from "./admission.ts"
import { Adoption } from "./adoption.ts"
import { chooseSnapshot } from "./choose.ts"
import { Ending, type Log } from "./ending.ts"
import { follow, keepUp } from "./follow.ts"
import { entryOf, type Instance } from "./instance.ts"
import type {
  Health,
  InstanceInfo,
  Overrides,
  PauseAnswer,
  Runtime,
  RuntimeInfo,
  SnapshotAnswer,
  SnapshotRequest,
  StartAnswer,
  StartRequest,
  StopAnswer,
  StopRequest,
  Timings,
  WarmAnswer,
  WarmRequest,
} from "./interfaces.ts"
import { LIMITS, type Limits } from "./limits.ts"
import { Claims } from "./once.ts"
import type { Planned } from "./plan.ts"
import { factsOf, planImage } from "./plan-image.ts"
import { Recovery } from "./recover.ts"
import { describe, rounded, shown, since } from "./report.ts"
import type { Slot } from "./slot.ts"
import { Slots } from "./slots.ts"
import { lineageOf, takeSnapshot } from "./snapshot.ts"
import { hasEnded } from "./states.ts"

export interface LocalRuntimeOptions {
  readonly version: string
  readonly root: string
  /** Directory that holds one directory an instance. */
  readonly instances: string
  readonly images: Images
  readonly vmms: readonly Vmm[]
  readonly limits?: Partial<Limits>
  /** Hears of every change of state and of what went wrong behind an answer. */
  readonly log?: (event: string, fields: Record<string, unknown>) => void
}

/** How long a daemon that starts waits for what it takes over before it answers. */
const PATIENCE_MS = 250
/** How often it looks again at what it could not read. */
const LOOK_AGAIN_MS = 2000

/** The runtime itself: instances in this process. */
export class LocalRuntime implements Runtime {
  readonly #options: LocalRuntimeOptions
  readonly #limits: Limits
  readonly #instances = new Map<string, Instance>()
  /** What goes on behind answers to POST /start. */
  readonly #starting = new Set<Promise<void>>()

  readonly #slots: Slots
  readonly #claims = new Claims()
  readonly #ending: Ending
  readonly #adoption: Adoption
  readonly #recovery: Recovery
  #looking: NodeJS.Timeout | undefined

  private constructor(options: LocalRuntimeOptions) {
    this.#options = options
    this.#limits = { ...LIMITS, ...options.limits }
    this.#slots = new Slots({ ...options, limits: this.#limits })
    const onMachine = (instance: Instance) => this.#watch(instance)
    const log: Log = (event, instance, fields) => this.#log(event, instance, fields)
    this.#ending = new Ending(this.#instances, options.images, log)
    this.#adoption = new Adoption({ vmms: options.vmms, onMachine, log })
    this.#recovery = new Recovery({
      folder: options.instances,
      instances: this.#instances,
      adoption: this.#adoption,
      onMachine,
      log: (event, fields) => options.log?.(event, fields),
    })
  }

  /** Reads what an earlier daemon left, and adopts the machines that still run (spec/instance-states.md, "Adoption"). */
  static async open(options: LocalRuntimeOptions): Promise<LocalRuntime> {
    await mkdir(options.instances, { recursive: true, mode: 0o700 })
    // Nobody else writes there: what is temporary is of a daemon that died.
    await sweepTemporaries(options.root, 0)
    const runtime = new LocalRuntime(options)
    await runtime.#recover()
    await runtime.#slots.open()
    return runtime
  }

  /** As a rule all of it is done within that time; what is not goes on behind the answers (OVMS-STA-022). */
  async #recover(): Promise<void> {
    const { tried } = await this.#recovery.begin()
    const { images } = this.#options
    const settled = Promise.all([tried, images.keepLeases(heldBy(this.#instances))]).catch((problem) =>
      this.#options.log?.("leases not settled", { problem: String(problem) }),
    )
    await Promise.race([settled, sleep(PATIENCE_MS)])
    this.#looking = setInterval(() => void this.#recovery.again(), LOOK_AGAIN_MS).unref()
  }

  async start(request: StartRequest, call: Call = {}): Promise<StartAnswer> {
    const received = performance.now()
    const overrides = request.overrides ?? {}
    const resumed = await this.#startWarm(request, overrides, received)
    if (resumed) return resumed
    const instance = await this.#admit(request, overrides)
    try {
      const planned = await this.#prepare(instance, request, overrides, "never", call)
      this.#carryOn(instance, received, async () => planned)
    } catch (thrown) {
      const error = toOvmError(thrown)
      if (!this.#options.images.canPull(request.manifest, error)) {
        await this.#ending.forget(instance)
        throw error
      }
      this.#carryOn(instance, received, () =>
        this.#prepare(instance, request, overrides, "missing", { signal: instance.starting.signal }),
      )
    }
    return { instance_id: instance.id, status: "starting" }
  }

  async health(): Promise<Health> {
    return { status: "ok", root: this.#options.root }
  }

  async warm(request: WarmRequest): Promise<WarmAnswer> {
    return await this.#slots.warm(request)
  }

  async stop(request: StopRequest): Promise<StopAnswer> {
    const instance = this.#get(request.instance_id)
    const { grace_ms } = request
    if (!hasEnded(instance.state)) {
      const first = instance.state !== "stopping"
      if (first) await instance.become("stopping")
      // Asked again with a time of its own, a stop that is under way takes that one: an impatient user has a way.
      if (first || grace_ms !== undefined) void this.#ending.end(instance, grace_ms ?? instance.graceMs)
    }
    return { status: instance.state }
  }

  async pause(instanceId: string): Promise<PauseAnswer> {
    return await this.#setGuest(instanceId, (machine) => machine.pause())
  }

  async resume(instanceId: string): Promise<PauseAnswer> {
    return await this.#setGuest(instanceId, (machine) => machine.resume())
  }

  async #setGuest(instanceId: string, work: (machine: Machine) => Promise<void>): Promise<PauseAnswer> {
    const instance = this.#get(instanceId)
    const { machine, state } = instance
    if (!machine || (state !== "running" && state !== "paused"))
      throw new OvmError("OVM_STATE_CONFLICT", `instance ${instanceId} is ${state}`, { detail: { state } })
    instance.assertUsable()
    await work(machine)
    await keepUp(instance, machine.guest, (event, fields) => this.#log(event, instance, fields))
    return { status: instance.state }
  }

  async snapshot(request: SnapshotRequest, call: Call = {}): Promise<SnapshotAnswer> {
    const instance = this.#get(request.instance_id)
    const log = (event: string, fields: Record<string, unknown>) => this.#log(event, instance, fields)
    const answer = await takeSnapshot(instance, this.#options.images, request, call).finally(async () => {
      const { machine } = instance
      if (machine) await keepUp(instance, machine.guest, log).catch(this.#unrecorded(instance))
    })
    this.#log("snapshot", instance, { snapshot_ref: answer.snapshot_ref })
    if (request.stop) await this.stop({ instance_id: instance.id, grace_ms: 0 })
    return answer
  }

  async status(instanceId: string): Promise<InstanceInfo> {
    const instance = this.#get(instanceId)
    if (instance.info.reason === "snapshot") await instance.machine?.settle?.()
    const usage = await instance.machine?.usage()
    const info = shown(instance)
    if (!usage) return info
    return { ...info, resources: { ...info.resources, rss: usage.rss, cpu_time_ms: usage.cpuTime } }
  }

  async logs(instanceId: string, options: Call & { readonly follow?: boolean } = {}): Promise<Bytes> {
    const instance = this.#get(instanceId)
    return readConsole(instance.directory, {
      ended: instance.ended,
      follow: options.follow ?? false,
      ...(options.signal && { signal: options.signal }),
    })
  }

  async list(): Promise<readonly InstanceInfo[]> {
    return Array.from(this.#instances.values(), shown)
  }

  async remove(instanceId: string, options: Call & { readonly force?: boolean } = {}): Promise<void> {
    const instance = this.#get(instanceId)
    if (instance.unreadable && !options.force) throw instance.unreadable
    if (!hasEnded(instance.state)) {
      if (!options.force)
        throw new OvmError("OVM_STATE_CONFLICT", `instance ${instanceId} is ${instance.state}`, {
          detail: { state: instance.state },
          hint: `ovm stop ${instanceId}, or ovm rm --force ${instanceId}`,
        })
      if (instance.state !== "stopping") await instance.become("stopping")
      instance.removed.abort()
      await this.#ending.end(instance, 0)
      await instance.ended
    }
    await this.#ending.forget(instance)
  }

  async info(): Promise<RuntimeInfo> {
    const { version, root, vmms, images } = this.#options
    const { error, ...policy } = await images.policyInfo()
    return {
      version,
      pid: process.pid,
      root,
      vmms: await Promise.all(vmms.map(describe)),
      instances: {
        total: this.#instances.size,
        running: countRunning(this.#instances),
        limit: this.#limits.running,
      },
      warm: this.#slots.info(),
      policy: { ...policy, ...(error && { error: entryOf(error) }) },
    }
  }

  /** Lets go of every machine and leaves it running; what is still starting is cancelled, slots are ended. The last thing that a daemon does. */
  async close(): Promise<void> {
    clearInterval(this.#looking)
    this.#adoption.close()
    for (const instance of this.#instances.values()) {
      instance.starting.abort()
      instance.machine?.detach()
    }
    await Promise.all([...this.#starting, this.#slots.close()])
  }

  #get(id: string): Instance {
    const instance = this.#instances.get(id)
    if (instance) return instance
    throw new OvmError("OVM_INSTANCE_UNKNOWN", `there is no instance ${JSON.stringify(id.slice(0, 100))}`, {
      hint: "ovm ps --all",
    })
  }

  get #admission(): Admission {
    return { folder: this.#options.instances, instances: this.#instances, limits: this.#limits }
  }

  /**
   * A start that a slot waits for is one command (spec/runtime-api.md, "POST /warm"). The record comes after the guest runs and
   * before the answer: without one, the next daemon ends it, and nobody was told. Undefined where there is no slot, or none
   * that lives: then the start takes the long way.
   */
  async #startWarm(
    request: StartRequest,
    { name, ...others }: Overrides,
    received: number,
  ): Promise<StartAnswer | undefined> {
    if (!this.#slots.ready || Object.values(others).some((value) => value !== undefined)) return undefined
    const { images } = this.#options
    const found = await images.resolve(request.manifest)
    const resolve = since(received)
    const slot = found && this.#slots.next(found.digest)
    // By this start's own name: that of the slot may be judged otherwise (OVMS-POL-085).
    if (!slot || !images.isAdmitted(found.reference, slot.image)) return undefined
    const { snapshot, plan } = slot.planned
    const once = snapshot?.descriptor.uniqueness.multiResume === "deny"
    const release = once ? this.#claims.hold(found.digest) : undefined
    const instance = accept(this.#admission, slot.id, request, name === undefined ? {} : { name }, {
      ...factsOf(slot.image, slot.planned),
      image: found,
      phase: "launching",
      timings_ms: { resolve },
    })
    instance.lineage = lineageOf(slot.image.base, snapshot, plan.disk?.overlay)
    this.#slots.take(slot)
    try {
      await this.#letGo(instance, slot, received)
      return { instance_id: instance.id, status: instance.state === "running" ? "running" : "starting" }
    } catch (thrown) {
      const error = toOvmError(thrown)
      this.#log("slot failed", instance, { error: entryOf(error) })
      this.#instances.delete(instance.id)
      await slot.discard()
      if (error.code === "OVM_RESUME_DENIED") throw error
      return undefined
    } finally {
      release?.()
    }
  }

  /** Where the guest may be resumed again, its record is written while it is let go. */
  async #letGo(instance: Instance, { loaded, planned }: Slot, received: number): Promise<void> {
    const going = loaded.resume()
    const again = planned.snapshot?.descriptor.uniqueness.multiResume === "allow"
    const foreseen = again && instance.foresee(loaded.record, enteredAt(loaded.record))
    const [machine] = await Promise.all([going, foreseen])
    await this.#entered(instance, machine, received, {}, again)
  }

  /** Takes the request on, or says which limit forbids it. */
  async #admit(request: StartRequest, overrides: Overrides): Promise<Instance> {
    const instance = accept(this.#admission, crypto.randomUUID(), request, overrides)
    try {
      await instance.create()
      return instance
    } catch (error) {
      this.#instances.delete(instance.id)
      throw toOvmError(error)
    }
  }

  /** Everything up to the launch. */
  async #prepare(
    instance: Instance,
    request: StartRequest,
    overrides: Overrides,
    pull: "never" | "missing",
    call: Call,
  ): Promise<Planned> {
    const context = { ...this.#options, limits: this.#limits, claims: this.#claims }
    const image = await this.#options.images.prepare(request.manifest, {
      lease: instance.id,
      pull,
      ...(overrides.resume !== undefined && { resume: overrides.resume }),
      choose: (machine, snapshots) => chooseSnapshot(context, instance, overrides, machine, snapshots, call),
      onPhase: (phase) => instance.note({ phase }),
      ...call,
    })
    const planned = await planImage(context, instance, image, overrides, call)
    instance.note({ phase: "preparing", ...factsOf(image, planned), timings_ms: image.timings })
    instance.lineage = lineageOf(image.base, planned.snapshot, planned.plan.disk?.overlay)
    return planned
  }

  /** What happens after the answer. Whatever goes wrong here is in the status. */
  #carryOn(instance: Instance, received: number, prepare: () => Promise<Planned>): void {
    const work = this.#launch(instance, received, prepare)
      .catch(async (thrown) => {
        const error = toOvmError(thrown)
        this.#log("failed", instance, { error: entryOf(error) })
        if (!instance.machine) return instance.fail(error)
        // It runs, and could not be written down: the next daemon would not know it.
        instance.doom(error)
        await this.#ending.end(instance, 0)
      })
      .catch(this.#unrecorded(instance))
      .finally(() => this.#starting.delete(work))
    this.#starting.add(work)
  }

  async #launch(instance: Instance, received: number, prepare: () => Promise<Planned>): Promise<void> {
    const planned = await prepare()
    try {
      await this.#go(instance, received, planned)
    } finally {
      planned.release?.()
    }
  }

  async #go(instance: Instance, received: number, { plan, virtualSize, go }: Planned): Promise<void> {
    const { signal } = instance.starting
    const began = performance.now()
    if (plan.disk?.overlay) await createOverlay(plan.disk.overlay, virtualSize)
    // The first record will do until it runs: whatever is found to run without another one is ended.
    instance.note({
      phase: "launching",
      timings_ms: { ...instance.info.timings_ms, prepare: since(began) },
    })
    signal.throwIfAborted()
    const machine = await go({ signal })
    const { spawn, load } = machine.timings
    const timings = { spawn: rounded(spawn), load: rounded(load) }
    await this.#entered(instance, machine, received, timings)
  }

  /** The guest runs; and so does the instance, unless somebody stopped it while there was no machine to stop. */
  async #entered(
    instance: Instance,
    machine: Machine,
    received: number,
    timings: Timings,
    foreseen = false,
  ): Promise<void> {
    if (instance.state !== "starting") {
      await instance.attach(machine)
      this.#watch(instance)
      if (instance.state === "stopping") void this.#ending.end(instance, instance.graceMs)
      return
    }
    const { resume } = machine.timings
    const patch = {
      ...enteredAt(machine.record),
      timings_ms: {
        ...instance.info.timings_ms,
        ...timings,
        ...(resume !== undefined && { resume: rounded(resume) }),
        total: since(received),
      },
    }
    const recorded = foreseen ? instance.enterForeseen(machine, patch) : instance.enter(machine, patch)
    this.#watch(instance)
    await recorded
    this.#log("running", instance, {})
  }

  /** Of each machine that the instance has, one after the other, this is told first. */
  #watch(instance: Instance): void {
    const { machine, silence } = instance
    if (!machine) return
    if (!silence) follow(instance, machine, (event, fields) => this.#log(event, instance, fields))
    machine.exited
      .then((exit) => instance.finish(exit))
      .then(() => this.#log(instance.state, instance, { exit: instance.info.exit }))
      .catch(this.#unrecorded(instance))
    if (!silence) this.#adoption.watch(instance, machine)
    if (silence && instance.state === "stopping") void this.#ending.end(instance, instance.graceMs)
  }

  #unrecorded(instance: Instance): (problem: unknown) => void {
    return (problem) => this.#log("unrecorded", instance, { problem: String(problem) })
  }

  #log(event: string, instance: Instance, fields: Record<string, unknown>): void {
    this.#options.log?.(event, { instance_id: instance.id, ...fields })
  }
}

function enteredAt({ generationId }: MachineRecord): Partial<InstanceInfo> {
  return { started: new Date().toISOString(), ...(generationId && { generation_id: generationId }) }
}

/** Manifests that each instance needs as long as it is on record. */
function heldBy(instances: ReadonlyMap<string, Instance>): Map<string, Digest[]> {
  return new Map(
    Array.from(instances, ([id, { info, lineage }]) => [
      id,
      [...new Set([info.image.digest, lineage?.base.digest, lineage?.parent].filter(isDigest))],
    ]),
  )
}
