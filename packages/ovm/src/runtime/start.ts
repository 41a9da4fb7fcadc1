import type { Call } from "../content/interfaces.ts"
import { type OvmError, toOvmError } from "../errors.ts"
import { openPorts } from "../network/open-ports.ts"
import { rounded } from "../rounded.ts"
import type { Machine } from "../vmm/machine.ts"
import { clearTraces } from "../vmm/process/traces.ts"
import { type Admission, accept, assertRoomToRun } from "./admission.ts"
import {
  firstRequest,
  isBootable,
  nextLife,
  planAgain,
  restartable,
  type Startable,
  startable,
} from "./again.ts"
import { conflict } from "./conflict.ts"
import { createInstance } from "./create.ts"
import { toldEnd } from "./ends.ts"
import { explainStart } from "./explain.ts"
import { assertFree, neededBy } from "./free.ts"
import { entryOf, type Instance } from "./instance.ts"
import type {
  CreateAnswer,
  Explanation,
  InstanceInfo,
  StartAnswer,
  StartRequest,
  Timings,
} from "./interfaces.ts"
import { outlive } from "./outlive.ts"
import type { Planned } from "./plan.ts"
import { factsOf, prepareStart } from "./prepare.ts"
import { enteredAt, since } from "./report.ts"
import { cutOff } from "./restart-policy.ts"
import { Claims } from "./resumed-once.ts"
import { lineageOf } from "./snapshot.ts"
import { startWarm, type WarmStarts } from "./start-warm.ts"
import type { StartsContext } from "./starts-context.ts"
import { hasEnded } from "./states.ts"

/** How long the ports of a machine that has just ended may still be open. */
const CLOSING_MS = 3000

/** From a request to a machine that runs. */
export class Starts {
  readonly #context: StartsContext
  readonly #claims = new Claims()
  /** What goes on behind answers to POST /start. */
  readonly #starting = new Set<Promise<void>>()

  constructor(context: StartsContext) {
    this.#context = context
  }

  get #warm(): WarmStarts {
    const entered: WarmStarts["entered"] = (...args) => this.#entered(...args)
    return { ...this.#context, admission: this.#admission, claims: this.#claims, entered }
  }

  /** Throws what the operator has to mend before anything is started. */
  assertAllowed(): void {
    if (this.#context.fault) throw this.#context.fault
  }

  /** See Runtime.start; `transient`: see Instance. */
  async start(
    request: StartRequest,
    { transient = false, ...call }: Call & { readonly transient?: boolean } = {},
  ): Promise<StartAnswer> {
    this.assertAllowed()
    const received = performance.now()
    const resumed = await startWarm(this.#warm, request, received, transient)
    if (resumed) return resumed
    const instance = this.#admit(request, transient)
    let planned: Planned | undefined
    try {
      planned = await this.#local(instance, request, call)
      await instance.enrol()
    } catch (thrown) {
      planned?.release?.()
      const error = toOvmError(thrown)
      await this.#giveUp(instance, error)
      throw error
    }
    this.carry(instance, received, async () => planned ?? (await this.#pulled(instance, request)))
    return { instance_id: instance.id, status: "starting" }
  }

  /** What is going to be done, if all that it needs is here; undefined if that can be pulled. */
  async #local(instance: Instance, request: StartRequest, call: Call): Promise<Planned | undefined> {
    try {
      const planned = await this.#prepare(instance, request, "never", call)
      instance.lineage = lineageOf(planned)
      return planned
    } catch (thrown) {
      if (this.#context.images.canPull(request.manifest, toOvmError(thrown))) return undefined
      throw thrown
    }
  }

  async #pulled(instance: Instance, request: StartRequest): Promise<Planned> {
    const planned = await this.#prepare(instance, request, "missing", { signal: instance.starting.signal })
    instance.lineage = lineageOf(planned)
    await instance.change({})
    return planned
  }

  /** See Runtime.create. */
  async create(request: StartRequest, call: Call): Promise<CreateAnswer> {
    this.assertAllowed()
    return await createInstance({ ...this.#context, admission: this.#admission }, request, call)
  }

  /** See Runtime.explain. */
  async explain(request: StartRequest, call: Call): Promise<Explanation> {
    this.assertAllowed()
    return await explainStart(this.#context, request, call)
  }

  /**
   * See Runtime.startAgain. Two at once start it once. `restarts`: how often its policy has had it started, this time
   * included.
   */
  async again(before: Instance, call: Call = {}, restarts = 0): Promise<StartAnswer> {
    const received = performance.now()
    const { running, ending } = this.#context
    const now = running.get(before.id)
    // Its policy was first.
    if (now && now !== before && (now.state === "starting" || now.state === "running"))
      return { instance_id: now.id, status: now.state }
    if (now !== before) throw conflict(now ?? before, now ? `is ${now.state}` : "has been removed")
    this.assertAllowed()
    const machine = startable(before)
    assertRoomToRun(this.#admission)
    assertFree(running, neededBy(machine))
    const life = nextLife(machine, restarts)
    this.#context.onInstance(life)
    running.set(life.id, life)
    let planned: Planned | undefined
    try {
      planned = await this.#plannedAgain(machine, life, call)
      await ending.quiet(before)
      await openPorts(planned?.plan.network?.forwards ?? [], { patienceMs: CLOSING_MS })
      // Whoever reads the console after the answer reads of this life.
      clearTraces(life.directory)
      await before.retire()
      await life.change({})
      this.carry(life, received, async () => planned ?? (await this.#pulled(life, firstRequest(machine))))
      return { instance_id: life.id, status: "starting" }
    } catch (thrown) {
      planned?.release?.()
      const error = toOvmError(thrown)
      if (life.state === "starting") running.set(life.id, before)
      else await life.fail(error)
      throw error
    }
  }

  /** One whose first start was cut off before there was a disk is started as it was then. */
  async #plannedAgain(machine: Startable, life: Instance, call: Call): Promise<Planned | undefined> {
    if (!isBootable(machine)) return await this.#local(life, firstRequest(machine), call)
    return await this.#timed(life, () => planAgain(this.#context, machine, call))
  }

  /** Throws what would keep a machine that runs from being started again, once it has ended. Changes nothing. */
  async checkAgain(instance: Instance): Promise<void> {
    this.assertAllowed()
    const { running } = this.#context
    const others = new Map([...running].filter(([id]) => id !== instance.id))
    assertRoomToRun({ ...this.#admission, instances: others })
    await planAgain(this.#context, restartable(instance), {}).finally(() => {
      // Whoever has stopped or removed it meanwhile is why, also where nothing else is in the way.
      restartable(instance)
    })
  }

  /** Nothing of it is left. What cannot be removed now has failed, and is there to be removed later. */
  async #giveUp(instance: Instance, error: OvmError): Promise<void> {
    await instance.fail(error)
    await this.#context.ending
      .forget(instance)
      .catch((problem) => this.#context.told("left", instance, { error: entryOf(toOvmError(problem)) }))
  }

  /** Settles when nothing goes on any more behind the answers. */
  async settled(): Promise<void> {
    await Promise.all(this.#starting)
  }

  get #admission(): Admission {
    const { instances, running, limits, defaults } = this.#context
    return { folder: instances, instances: running, limits, defaults }
  }

  /** Takes the request on, or says which limit forbids it. */
  #admit(request: StartRequest, transient: boolean): Instance {
    const id = crypto.randomUUID()
    assertFree(this.#context.running, { id, overrides: request.overrides ?? {} })
    const instance = accept(this.#admission, id, request)
    instance.transient = transient
    this.#context.onInstance(instance)
    try {
      instance.create()
      return instance
    } catch (error) {
      this.#context.running.delete(instance.id)
      throw toOvmError(error)
    }
  }

  /** Everything up to the launch. */
  async #prepare(
    instance: Instance,
    request: StartRequest,
    pull: "never" | "missing",
    call: Call,
  ): Promise<Planned> {
    const { id, directory } = instance
    const overrides = request.overrides ?? {}
    const context = { ...this.#context, claims: this.#claims }
    const { limits, defaults } = this.#context
    const volumes = await this.#context.volumes.plan(overrides)
    const wanted = { id, directory, overrides, volumes, consoleLimit: limits.console, defaults }
    const onPhase = (phase: NonNullable<InstanceInfo["phase"]>) => instance.note({ phase })
    const options = { pull, onPhase, ...call }
    return await this.#timed(instance, () => prepareStart(context, wanted, request.manifest, options))
  }

  async #timed(instance: Instance, prepare: () => Promise<Planned>): Promise<Planned> {
    const began = performance.now()
    const planned = await prepare()
    const { resolve, verify } = planned.image.timings
    const prepared = rounded(Math.max(0, performance.now() - began - resolve - verify))
    const timings_ms = { resolve, verify, prepare: prepared }
    const { image, ...facts } = factsOf(planned)
    instance.note({ phase: "preparing", ...facts, ...(!planned.written && { image }), timings_ms })
    return planned
  }

  /** What happens after the answer to one that is on record. Whatever goes wrong here is in the status. */
  carry(instance: Instance, received: number, prepare: () => Promise<Planned>): void {
    this.#context.told("starting", instance, {})
    const work = this.#launch(instance, received, prepare)
      .catch(async (thrown) => {
        const found = toOvmError(thrown)
        // What only this daemon's end has cancelled is the next one's to go on with.
        const isCutOff = found.code === "OVM_INTERRUPTED" && instance.state === "starting"
        if (!isCutOff) instance.again = false
        const error = isCutOff ? cutOff() : found
        if (!instance.machine) {
          // Whoever saw it end has told of that.
          if (hasEnded(instance.state)) return
          await instance.fail(error)
          return this.#context.told(instance.state, instance, toldEnd(instance.info))
        }
        // It runs, and could not be written down: the next daemon would not know it.
        instance.doom(error)
        await this.#context.ending.end(instance, 0)
      })
      .catch((problem) => this.#context.told("unrecorded", instance, { problem: String(problem) }))
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

  async #go(instance: Instance, received: number, planned: Planned): Promise<void> {
    const { signal } = instance.starting
    // The first record will do until it runs: whatever is found to run without another one is ended.
    instance.note({ phase: "launching" })
    signal.throwIfAborted()
    await this.#context.networks.serve(instance)
    const machine = await planned.go({ signal })
    instance.lineage = lineageOf(planned, machine.record)
    const { spawn, load } = machine.timings
    const timings = { spawn: rounded(spawn), load: rounded(load) }
    await this.#entered(instance, machine, received, { timings })
  }

  /** The guest runs; and so does the instance, unless somebody stopped it while there was no machine to stop. */
  async #entered(
    instance: Instance,
    machine: Machine,
    received: number,
    { timings = {}, foreseen = false }: { readonly timings?: Timings; readonly foreseen?: boolean },
  ): Promise<void> {
    if (instance.state !== "starting") {
      await instance.change({}, { machine })
      this.#context.onMachine(instance)
      if (instance.state === "stopping") void this.#context.ending.end(instance)
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
    const recorded = instance.become("running", patch, { machine, record: foreseen ? "foreseen" : "written" })
    this.#context.onMachine(instance)
    await recorded
    this.#context.told("running", instance, {})
    // What its guest has flushed is to be found after a crash of the host; nobody waits for that.
    const unsynced = (problem: unknown) =>
      this.#context.told("unsynced", instance, { problem: String(problem) })
    outlive(instance).catch(unsynced)
  }
}
