import { mkdir, readdir } from "node:fs/promises"
import { join } from "node:path"
import type { Bytes, Call } from "../content/interfaces.ts"
import { createOverlay } from "../disk/overlay.ts"
import { OvmError, toOvmError } from "../errors.ts"
import { sweepTemporaries } from "../files/replace.ts"
import type { Images } from "../images/images.ts"
import { readConsole } from "../vmm/console.ts"
import type { Machine, MachineRecord, Vmm } from "../vmm/interfaces.ts"
import { chooseSnapshot } from "./choose.ts"
import { follow, keepUp } from "./follow.ts"
import { entryOf, Instance } from "./instance.ts"
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
import { chooseName } from "./names.ts"
import { Claims } from "./once.ts"
import { type Planned, resourcesOf } from "./plan.ts"
import { factsOf, planImage } from "./plan-image.ts"
import { recover } from "./recover.ts"
import { describe, rounded, since, withRunning } from "./report.ts"
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

/** The runtime itself: instances in this process. */
export class LocalRuntime implements Runtime {
  readonly #options: LocalRuntimeOptions
  readonly #limits: Limits
  readonly #instances = new Map<string, Instance>()
  /** What goes on behind answers to POST /start. */
  readonly #starting = new Set<Promise<void>>()

  readonly #slots: Slots
  readonly #claims = new Claims()

  private constructor(options: LocalRuntimeOptions) {
    this.#options = options
    this.#limits = { ...LIMITS, ...options.limits }
    this.#slots = new Slots({ ...options, limits: this.#limits })
  }

  /** Reads what an earlier daemon left, and adopts the machines that still run (spec/instance-states.md, "Adoption"). */
  static async open(options: LocalRuntimeOptions): Promise<LocalRuntime> {
    await mkdir(options.instances, { recursive: true, mode: 0o700 })
    await sweepLeft(options)
    const runtime = new LocalRuntime(options)
    const recovered = await recover(options.instances, options.vmms, options.images)
    for (const instance of recovered) {
      runtime.#instances.set(instance.id, instance)
      if (instance.machine) runtime.#watch(instance)
      if (instance.state === "stopping") runtime.#end(instance, instance.graceMs)
    }
    await runtime.#slots.open()
    return runtime
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
        await this.#forget(instance)
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
      if (first || grace_ms !== undefined) this.#end(instance, grace_ms ?? instance.graceMs)
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
    await work(machine)
    await keepUp(instance, machine.guest, (event, fields) => this.#log(event, instance, fields))
    return { status: instance.state }
  }

  async snapshot(request: SnapshotRequest, call: Call = {}): Promise<SnapshotAnswer> {
    const instance = this.#get(request.instance_id)
    const answer = await takeSnapshot(instance, this.#options.images, request, call)
    this.#log("snapshot", instance, { snapshot_ref: answer.snapshot_ref })
    if (request.stop) await this.stop({ instance_id: instance.id, grace_ms: 0 })
    return answer
  }

  async status(instanceId: string): Promise<InstanceInfo> {
    const instance = this.#get(instanceId)
    const usage = await instance.machine?.usage()
    const info = withRunning(instance.info)
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
    return Array.from(this.#instances.values(), (instance) => withRunning(instance.info))
  }

  async remove(instanceId: string, options: Call & { readonly force?: boolean } = {}): Promise<void> {
    const instance = this.#get(instanceId)
    if (!hasEnded(instance.state)) {
      if (!options.force)
        throw new OvmError("OVM_STATE_CONFLICT", `instance ${instanceId} is ${instance.state}`, {
          detail: { state: instance.state },
          hint: `ovm stop ${instanceId}, or ovm rm --force ${instanceId}`,
        })
      if (instance.state !== "stopping") await instance.become("stopping")
      this.#end(instance, 0)
      await instance.ended
    }
    await this.#forget(instance)
  }

  async info(): Promise<RuntimeInfo> {
    const { version, root, vmms, images } = this.#options
    const { error, ...policy } = await images.policyInfo()
    return {
      version,
      pid: process.pid,
      root,
      vmms: await Promise.all(vmms.map(describe)),
      instances: { total: this.#instances.size, running: this.#running(), limit: this.#limits.running },
      warm: this.#slots.info(),
      policy: { ...policy, ...(error && { error: entryOf(error) }) },
    }
  }

  /** Lets go of every machine and leaves it running; what is still starting is cancelled, slots are ended. The last thing that a daemon does. */
  async close(): Promise<void> {
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

  #running(): number {
    return this.#instances.values().reduce((count, instance) => count + (hasEnded(instance.state) ? 0 : 1), 0)
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
    const instance = this.#accept(slot.id, request, name === undefined ? {} : { name }, {
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
    const instance = this.#accept(crypto.randomUUID(), request, overrides)
    try {
      await instance.create()
      return instance
    } catch (error) {
      this.#instances.delete(instance.id)
      throw toOvmError(error)
    }
  }

  /** Not asynchronous: two starts cannot take the same name. */
  #accept(
    id: string,
    request: StartRequest,
    overrides: Overrides,
    facts: Partial<InstanceInfo> = {},
  ): Instance {
    const { running, instances } = this.#limits
    if (this.#running() >= running)
      throw new OvmError("OVM_TOO_MANY", `${running} instances are running, which is the limit`, {
        hint: "ovm ps, ovm stop ID",
      })
    if (this.#instances.size >= instances)
      throw new OvmError("OVM_TOO_MANY", `${instances} instances are on record, which is the limit`, {
        hint: "ovm rm ID",
      })
    const info: InstanceInfo = {
      instance_id: id,
      name: chooseName(
        overrides.name,
        request.manifest,
        this.#instances.values().map((instance) => instance.info),
      ),
      state: "starting",
      phase: "resolving",
      image: { reference: request.manifest },
      resources: resourcesOf(undefined, overrides),
      timings_ms: {},
      warnings: [],
      created: new Date().toISOString(),
      ...facts,
    }
    const instance = new Instance(join(this.#options.instances, id), info)
    this.#instances.set(id, instance)
    return instance
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
      .catch((thrown) => {
        const error = toOvmError(thrown)
        this.#log("failed", instance, { error: entryOf(error) })
        return instance.fail(error)
      })
      .catch((problem) => this.#log("unrecorded", instance, { problem: String(problem) }))
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
      if (instance.state === "stopping") this.#end(instance, instance.graceMs)
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

  #watch(instance: Instance): void {
    const { machine } = instance
    if (!machine) return
    follow(instance, machine, (event, fields) => this.#log(event, instance, fields))
    machine.exited
      .then((exit) => instance.finish(exit))
      .then(() => this.#log(instance.state, instance, { exit: instance.info.exit }))
      .catch((problem) => this.#log("unrecorded", instance, { problem: String(problem) }))
  }

  /** Ends a machine behind the answer; one that is still starting is cancelled. */
  #end(instance: Instance, graceMs: number): void {
    const { machine } = instance
    instance.graceMs = graceMs
    if (!machine) {
      instance.starting.abort()
      return
    }
    instance.stopMethod = machine.stop({ graceMs }).catch((problem) => {
      this.#log("stop failed", instance, { problem: String(problem) })
      return undefined
    })
  }

  async #forget(instance: Instance): Promise<void> {
    await instance.snapshotting
    await this.#options.images.release(instance.id)
    await instance.discard()
    this.#instances.delete(instance.id)
  }

  #log(event: string, instance: Instance, fields: Record<string, unknown>): void {
    this.#options.log?.(event, { instance_id: instance.id, ...fields })
  }
}

function enteredAt({ generationId }: MachineRecord): Partial<InstanceInfo> {
  return { started: new Date().toISOString(), ...(generationId && { generation_id: generationId }) }
}

/** Nobody else writes there: what is temporary is of a daemon that died. */
async function sweepLeft({ root, instances }: LocalRuntimeOptions): Promise<void> {
  const directories = (await readdir(instances)).map((id) => join(instances, id))
  for (const folder of [root, ...directories]) await sweepTemporaries(folder, 0)
}
