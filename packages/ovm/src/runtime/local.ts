import { mkdir } from "node:fs/promises"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import type { Bytes, Call } from "../content/interfaces.ts"
import { OvmError } from "../errors.ts"
import { sweepTemporaries } from "../files/replace.ts"
import type { Machine } from "../vmm/machine.ts"
import { countRunning } from "./admission.ts"
import { Adoption } from "./adoption.ts"
import { agentInside, shownAgent } from "./agents.ts"
import { goOn, restartInstance, startEnded } from "./asked-again.ts"
import { Attachments } from "./attachments.ts"
import { commitInstance } from "./commit.ts"
import { instanceConsole } from "./console.ts"
import { Ending, type Log } from "./ending.ts"
import { EventLog } from "./events.ts"
import { execToEnd } from "./exec.ts"
import { Executions } from "./executions.ts"
import { readFiles, writeFiles } from "./files.ts"
import { keepUp } from "./follow.ts"
import { heldBy } from "./held.ts"
import type { Instance } from "./instance.ts"
import type {
  AgentInfo,
  AttachOptions,
  CommitAnswer,
  CommitRequest,
  CreateAnswer,
  EventsOptions,
  ExecAnswer,
  ExecControlRequest,
  ExecRequest,
  ExecStreamOptions,
  ExecTypeOptions,
  Health,
  InstanceInfo,
  LogsOptions,
  Network,
  NetworkRequest,
  PauseAnswer,
  Port,
  PortNamed,
  PortRequest,
  ReadFilesOptions,
  ReadyOptions,
  RenameRequest,
  Runtime,
  RuntimeEvent,
  RuntimeInfo,
  SnapshotAnswer,
  SnapshotRequest,
  StartAnswer,
  StartRequest,
  StopAnswer,
  StopRequest,
  TypeOptions,
  Volume,
  VolumeRequest,
  WarmAnswer,
  WarmRequest,
  WriteFilesOptions,
} from "./interfaces.ts"
import { DEFAULTS, defaultsWithin, LIMITS, type Limits } from "./limits.ts"
import { Networks } from "./networks.ts"
import type { LocalRuntimeOptions } from "./options.ts"
import { addPortTo, type PortsOf, removePortFrom } from "./ports.ts"
import { Recovery } from "./recover.ts"
import { Removals } from "./removals.ts"
import { renameInstance } from "./rename.ts"
import { factsAbout, shown, withUsage } from "./report.ts"
import { Restarts } from "./restarts.ts"
import { setGuest } from "./set-guest.ts"
import { Addresses } from "./shared-network.ts"
import { takeSnapshot } from "./snapshot.ts"
import { Starts } from "./start.ts"
import { hasEnded } from "./states.ts"
import { VolumeStore } from "./volumes.ts"
import { Slots } from "./warm/slots.ts"
import { unrecorded, watchMachine } from "./watch-machine.ts"

/** How long a daemon that starts waits for what it takes over before it answers. */
const PATIENCE_MS = 250
/** Between two looks at what it could not read. */
const LOOK_AGAIN_MS = 2000

/** The runtime itself: instances in this process. */
export class LocalRuntime implements Runtime {
  readonly #options: LocalRuntimeOptions
  readonly #limits: Limits
  readonly #instances = new Map<string, Instance>()
  readonly #slots: Slots
  readonly #starts: Starts
  readonly #restarts: Restarts
  readonly #removals: Removals
  readonly #ending: Ending
  readonly #adoption: Adoption
  readonly #recovery: Recovery
  readonly #events = new EventLog()
  readonly #attachments = new Attachments()
  readonly #executions = new Executions()
  readonly #volumes: VolumeStore
  readonly #networks: Networks
  #looking: NodeJS.Timeout | undefined

  private constructor(options: LocalRuntimeOptions) {
    this.#options = options
    this.#limits = { ...LIMITS, ...options.limits }
    const defaults = defaultsWithin({ ...DEFAULTS, ...options.defaults }, this.#limits)
    this.#volumes = new VolumeStore(join(options.root, "volumes"), this.#instances)
    this.#networks = new Networks(options.root, this.#instances, (event, fields) =>
      options.log?.(event, fields),
    )
    const addresses = new Addresses(this.#networks, this.#instances)
    const kept = { volumes: this.#volumes, addresses, limits: this.#limits, defaults }
    this.#slots = new Slots({ ...options, ...kept })
    const log = this.#told
    const onMachine = (instance: Instance) =>
      watchMachine(instance, {
        adoption: this.#adoption,
        ending: this.#ending,
        networks: this.#networks,
        log,
      })
    this.#ending = new Ending(this.#instances, options.images, log, defaults.graceMs)
    this.#restarts = new Restarts(this.#instances, (one, count) => this.#starts.again(one, {}, count), log)
    this.#removals = new Removals(this.#instances, (id) => this.remove(id), log)
    const onInstance = (instance: Instance) => {
      this.#restarts.follow(instance)
      this.#removals.follow(instance)
    }
    this.#starts = new Starts({
      ...options,
      ...kept,
      networks: this.#networks,
      running: this.#instances,
      slots: this.#slots,
      ending: this.#ending,
      onMachine,
      onInstance,
      told: log,
    })
    this.#adoption = new Adoption({ vmms: options.vmms, onMachine, log })
    this.#recovery = new Recovery({
      folder: options.instances,
      instances: this.#instances,
      adoption: this.#adoption,
      onInstance,
      onMachine,
      onRestart: (instance) => void goOn(this.#starts, instance, log).catch(() => {}),
      log: (event, fields) => options.log?.(event, fields),
      told: log,
    })
  }

  /**
   * Reads what an earlier daemon left, and adopts the machines that still run (spec/instance-states.md, "Adoption").
   */
  static async open(options: LocalRuntimeOptions): Promise<LocalRuntime> {
    await mkdir(options.instances, { recursive: true, mode: 0o700 })
    // Nobody else writes there: what is temporary is of a daemon that died.
    await sweepTemporaries(options.root, 0)
    const runtime = new LocalRuntime(options)
    await runtime.#networks.load()
    await runtime.#recover()
    runtime.#networks.begin()
    await runtime.#volumes.sweep()
    await runtime.#slots.open()
    return runtime
  }

  /** As a rule all of it is done within that time; what is not goes on behind the answers (OVMS-STA-022). */
  async #recover(): Promise<void> {
    const { tried } = await this.#recovery.begin()
    const { images, log } = this.#options
    const kept = images.keepLeases(heldBy(this.#instances))
    const unsettled = (problem: unknown) => log?.("leases not settled", { problem: String(problem) })
    const settled = Promise.all([tried, kept]).catch(unsettled)
    await Promise.race([settled, sleep(PATIENCE_MS)])
    this.#looking = setInterval(() => void this.#recovery.again(), LOOK_AGAIN_MS).unref()
  }

  async start(request: StartRequest, call: Call = {}): Promise<StartAnswer> {
    return await this.#starts.start(request, call)
  }

  async create(request: StartRequest, call: Call = {}): Promise<CreateAnswer> {
    return await this.#starts.create(request, call)
  }

  async commit(instanceId: string, request: CommitRequest, call: Call = {}): Promise<CommitAnswer> {
    return await commitInstance(this.#get(instanceId), this.#options.images, request, call)
  }

  async rename(instanceId: string, { name }: RenameRequest): Promise<void> {
    const instance = this.#get(instanceId)
    await renameInstance(instance, name, this.#instances)
    this.#networks.tell(instance)
  }

  async addPort(instanceId: string, request: PortRequest): Promise<Port> {
    return await addPortTo(this.#portsOf(instanceId), request)
  }

  async removePort(instanceId: string, port: PortNamed): Promise<Port> {
    return await removePortFrom(this.#portsOf(instanceId), port)
  }

  #portsOf(instanceId: string): PortsOf {
    return { instance: this.#get(instanceId), all: this.#instances, told: this.#told }
  }

  async startAgain(instanceId: string, call: Call = {}): Promise<StartAnswer> {
    return await startEnded(this.#starts, this.#get(instanceId), call)
  }

  async restart(instanceId: string, { graceMs }: { readonly graceMs?: number } = {}): Promise<StartAnswer> {
    const instance = this.#get(instanceId)
    const stop = () => this.#ending.stop(instance, graceMs)
    return await restartInstance(this.#starts, instance, stop, this.#told)
  }

  async health(): Promise<Health> {
    return { status: "ok", root: this.#options.root }
  }

  async warm(request: WarmRequest): Promise<WarmAnswer> {
    if (request.slots > 0) this.#starts.assertAllowed()
    return await this.#slots.warm(request)
  }

  async stop(request: StopRequest): Promise<StopAnswer> {
    const instance = this.#get(request.instance_id)
    instance.again = false
    if (hasEnded(instance.state)) await this.#restarts.giveUp(instance)
    else await this.#ending.stop(instance, request.grace_ms)
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
    await setGuest(instance, work, (event, fields) => this.#log(event, instance, fields))
    return { status: instance.state }
  }

  async snapshot(request: SnapshotRequest, call: Call = {}): Promise<SnapshotAnswer> {
    const instance = this.#get(request.instance_id)
    const log = (event: string, fields: Record<string, unknown>) => this.#log(event, instance, fields)
    const answer = await takeSnapshot(instance, this.#options.images, request, call).finally(async () => {
      const { machine } = instance
      if (machine) await keepUp(instance, machine.guest, log).catch(unrecorded(instance, this.#told))
    })
    this.#log("snapshot", instance, { snapshot_ref: answer.snapshot_ref })
    if (request.stop) await this.stop({ instance_id: instance.id, grace_ms: 0 })
    return answer
  }

  async status(instanceId: string): Promise<InstanceInfo> {
    const instance = this.#get(instanceId)
    if (instance.info.reason === "snapshot") await instance.machine?.settle?.()
    const usage = await instance.machine?.usage()
    const info = await this.#shown(instance)
    if (!usage || this.#instances.get(instanceId) !== instance) return info
    return withUsage(info, usage)
  }

  /** Of the life that it has by the time that there is an answer: looking takes a moment, and a restart no longer. */
  async #shown(instance: Instance): Promise<InstanceInfo> {
    const info = await shown(instance)
    const now = this.#instances.get(instance.id)
    return now === undefined || now === instance ? info : await this.#shown(now)
  }

  async logs(instanceId: string, options: LogsOptions = {}): Promise<Bytes> {
    return await instanceConsole(this.#get(instanceId), options)
  }

  async attach(instanceId: string, options: AttachOptions): Promise<Bytes> {
    return await this.#attachments.attach(this.#get(instanceId), options)
  }

  async type(instanceId: string, options: TypeOptions): Promise<void> {
    await this.#attachments.type(this.#get(instanceId).id, options)
  }

  async exec(instanceId: string, request: ExecRequest, call: Call = {}): Promise<ExecAnswer> {
    return await execToEnd(this.#get(instanceId), request, call)
  }

  async execStream(instanceId: string, request: ExecRequest, options: ExecStreamOptions): Promise<Bytes> {
    return await this.#executions.begin(this.#get(instanceId), request, options)
  }

  async execType(instanceId: string, options: ExecTypeOptions): Promise<void> {
    await this.#executions.type(this.#get(instanceId).id, options)
  }

  async execControl(instanceId: string, attachment: string, request: ExecControlRequest): Promise<void> {
    await this.#executions.control(this.#get(instanceId).id, attachment, request)
  }

  async ready(instanceId: string, { timeoutMs = 0, signal }: ReadyOptions = {}): Promise<AgentInfo> {
    const instance = this.#get(instanceId)
    await agentInside(instance, { withinMs: timeoutMs, ...(signal && { signal }) })
    return { ready: true, ...shownAgent(instance) }
  }

  async readFiles(instanceId: string, options: ReadFilesOptions): Promise<Bytes> {
    return await readFiles(this.#get(instanceId), options)
  }

  async writeFiles(instanceId: string, options: WriteFilesOptions): Promise<void> {
    await writeFiles(this.#get(instanceId), options)
  }

  async list(): Promise<readonly InstanceInfo[]> {
    return await Promise.all(Array.from(this.#instances.values(), (one) => this.#shown(one)))
  }

  volumes(): Promise<readonly Volume[]> {
    return this.#volumes.list()
  }

  createVolume(request: VolumeRequest): Promise<Volume> {
    return this.#volumes.create(request)
  }

  removeVolume(name: string): Promise<void> {
    return this.#volumes.remove(name)
  }

  async networks(): Promise<readonly Network[]> {
    return this.#networks.list()
  }

  createNetwork(request: NetworkRequest): Promise<Network> {
    return this.#networks.create(request)
  }

  removeNetwork(name: string): Promise<void> {
    return this.#networks.remove(name)
  }

  async events(options: EventsOptions = {}): Promise<AsyncIterable<RuntimeEvent>> {
    return this.#events.read(options)
  }

  async remove(instanceId: string, options: Call & { readonly force?: boolean } = {}): Promise<void> {
    const instance = this.#get(instanceId)
    await this.#ending.overcome(instance, options.force ?? false)
    // Another life of it may have begun with the end of this one.
    if (this.#instances.get(instanceId) !== instance) return await this.remove(instanceId, options)
    await this.#ending.forget(instance)
    this.#log("removed", instance, {})
  }

  async info(): Promise<RuntimeInfo> {
    const { size: total } = this.#instances
    const instances = { total, running: countRunning(this.#instances), limit: this.#limits.running }
    return { ...(await factsAbout(this.#options)), instances, warm: this.#slots.info() }
  }

  /**
   * Lets go of every machine and leaves it running; what is still starting is cancelled, slots are ended. The last
   * thing that a daemon does.
   */
  async close(): Promise<void> {
    clearInterval(this.#looking)
    this.#networks.close()
    this.#adoption.close()
    this.#restarts.close()
    this.#removals.close()
    for (const instance of this.#instances.values()) {
      instance.starting.abort()
      instance.agent?.close()
      instance.machine?.detach()
    }
    await Promise.all([this.#starts.settled(), this.#slots.close()])
  }

  #get(id: string): Instance {
    const instance = this.#instances.get(id)
    if (instance) return instance
    throw new OvmError("OVM_INSTANCE_UNKNOWN", `there is no instance ${JSON.stringify(id.slice(0, 100))}`, {
      hint: "ovm ps --all",
    })
  }

  readonly #told: Log = (event, instance, fields) => this.#log(event, instance, fields)

  #log(event: string, instance: Instance, fields: Record<string, unknown>): void {
    this.#options.log?.(event, { instance_id: instance.id, ...fields })
    this.#events.tell(event, instance, fields)
  }
}
