import { mkdir } from "node:fs/promises"
import { setTimeout as sleep } from "node:timers/promises"
import type { Bytes, Call } from "../content/interfaces.ts"
import { keepApart } from "../files/apart.ts"
import { sweepTemporaries } from "../files/temporary.ts"
import { countRunning } from "./admission.ts"
import { agentInside, shownAgent } from "./agents.ts"
import { restartInstance, startEnded } from "./asked-again.ts"
import { type Assembly, assemble, disband } from "./assembly.ts"
import { commitAsAsked } from "./commit.ts"
import { instanceConsole } from "./console.ts"
import type { Log } from "./ending.ts"
import { EventLog } from "./events.ts"
import { execToEnd } from "./exec.ts"
import { readFiles, writeFiles } from "./files.ts"
import { forkInstance } from "./fork/fork.ts"
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
  Explanation,
  ForkAnswer,
  ForkRequest,
  Health,
  InstanceInfo,
  LogsOptions,
  Network,
  NetworkRequest,
  PauseAnswer,
  Port,
  PortNamed,
  PortRemoved,
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
import { LIMITS, type Limits } from "./limits.ts"
import type { LocalRuntimeOptions } from "./options.ts"
import { addPortTo, type PortsOf, removePortFrom } from "./ports.ts"
import { Reach } from "./reach.ts"
import { renameInstance } from "./rename.ts"
import { factsAbout, shown, withUsage } from "./report.ts"
import { setGuest } from "./set-guest.ts"
import { takeSnapshot } from "./snapshot.ts"
import { hasEnded } from "./states.ts"
import { followUp } from "./watch-machine.ts"

/** How long a daemon that starts waits for what it takes over before it answers. */
const PATIENCE_MS = 250
/** Between two looks at what it could not read. */
const LOOK_AGAIN_MS = 2000

/** The runtime itself: instances in this process. */
export class LocalRuntime implements Runtime {
  readonly #options: LocalRuntimeOptions
  readonly #limits: Limits
  readonly #parts: Assembly
  readonly #reach: Reach
  readonly #instances = new Map<string, Instance>()
  readonly #events = new EventLog()
  #looking: NodeJS.Timeout | undefined

  private constructor(options: LocalRuntimeOptions) {
    this.#options = options
    this.#limits = { ...LIMITS, ...options.limits }
    this.#parts = assemble(options, {
      instances: this.#instances,
      limits: this.#limits,
      told: this.#told,
      remove: (id, options) => this.remove(id, options),
    })
    this.#reach = new Reach(this.#instances, this.#parts.standbys)
  }

  /**
   * Reads what an earlier daemon left, and adopts the machines that still run (spec/instance-states.md, "Adoption").
   */
  static async open(options: LocalRuntimeOptions): Promise<LocalRuntime> {
    await mkdir(options.instances, { recursive: true, mode: 0o700 })
    keepApart(options.instances)
    // Nobody else writes there: what is temporary is of a daemon that died.
    await sweepTemporaries(options.root, 0)
    const runtime = new LocalRuntime(options)
    await runtime.#parts.networks.load()
    await runtime.#recover()
    runtime.#parts.networks.begin()
    runtime.#parts.standbys.begin()
    await runtime.#parts.volumes.sweep()
    await runtime.#parts.slots.open()
    return runtime
  }

  /** As a rule all of it is done within that time; what is not goes on behind the answers (OVMS-STA-022). */
  async #recover(): Promise<void> {
    const { tried } = await this.#parts.recovery.begin()
    const { images, log } = this.#options
    const kept = images.keepLeases(heldBy(this.#instances))
    const unsettled = (problem: unknown) => log?.("leases not settled", { problem: String(problem) })
    const settled = Promise.all([tried, kept]).catch(unsettled)
    await Promise.race([settled, sleep(PATIENCE_MS)])
    this.#looking = setInterval(() => void this.#parts.recovery.again(), LOOK_AGAIN_MS).unref()
  }

  async start(request: StartRequest, call: Call = {}): Promise<StartAnswer> {
    return await this.#parts.starts.start(request, call)
  }

  async create(request: StartRequest, call: Call = {}): Promise<CreateAnswer> {
    return await this.#parts.starts.create(request, call)
  }

  async explain(request: StartRequest, call: Call = {}): Promise<Explanation> {
    return await this.#parts.starts.explain(request, call)
  }

  async commit(instanceId: string, request: CommitRequest, call: Call = {}): Promise<CommitAnswer> {
    const instance = await this.#reach.aside(instanceId)
    return await commitAsAsked(instance, this.#options.images, request, { ...call, log: this.#told })
  }

  async rename(instanceId: string, { name }: RenameRequest): Promise<void> {
    const instance = this.#reach.get(instanceId)
    await renameInstance(instance, name, this.#instances)
    this.#parts.networks.tell(instance)
  }

  async addPort(instanceId: string, request: PortRequest): Promise<Port> {
    return await this.#reach.talking(instanceId, (instance) => addPortTo(this.#portsOf(instance), request))
  }

  async removePort(instanceId: string, port: PortNamed): Promise<PortRemoved> {
    return await this.#reach.talking(instanceId, (instance) => removePortFrom(this.#portsOf(instance), port))
  }

  #portsOf(instance: Instance): PortsOf {
    const { chosenPorts: chosen, adoption } = this.#parts
    const follow = (instance: Instance) => adoption.followPorts(instance)
    return { instance, all: this.#instances, told: this.#told, chosen, follow }
  }

  async startAgain(instanceId: string, call: Call = {}): Promise<StartAnswer> {
    const instance = await this.#reach.awake(instanceId)
    return await startEnded(this.#parts.starts, instance, call)
  }

  async restart(instanceId: string, { graceMs }: { readonly graceMs?: number } = {}): Promise<StartAnswer> {
    const instance = await this.#reach.aside(instanceId)
    const stop = () => this.#parts.ending.stop(instance, graceMs)
    return await restartInstance(this.#parts.starts, instance, stop, this.#told)
  }

  async health(): Promise<Health> {
    return { status: "ok", root: this.#options.root }
  }

  async warm(request: WarmRequest): Promise<WarmAnswer> {
    if (request.slots > 0) this.#parts.starts.assertAllowed()
    return await this.#parts.slots.warm(request)
  }

  async stop(request: StopRequest): Promise<StopAnswer> {
    const instance = this.#reach.get(request.instance_id)
    instance.again = false
    if (hasEnded(instance.state)) await this.#parts.restarts.giveUp(instance)
    else await this.#parts.ending.stop(instance, request.grace_ms)
    return { status: instance.state }
  }

  async pause(instanceId: string): Promise<PauseAnswer> {
    return await setGuest(this.#reach.get(instanceId), (machine) => machine.pause(), this.#told)
  }

  async resume(instanceId: string): Promise<PauseAnswer> {
    const instance = await this.#reach.awake(instanceId)
    return await setGuest(instance, (machine) => machine.resume(), this.#told)
  }

  async snapshot(request: SnapshotRequest, call: Call = {}): Promise<SnapshotAnswer> {
    const instance = await this.#reach.awake(request.instance_id)
    const answer = await takeSnapshot(instance, this.#options.images, request, call).finally(() =>
      followUp(instance, this.#told),
    )
    this.#log("snapshot", instance, { snapshot_ref: answer.snapshot_ref })
    if (request.stop) await this.stop({ instance_id: instance.id, grace_ms: 0 })
    return answer
  }

  async fork(instanceId: string, request: ForkRequest, call: Call = {}): Promise<ForkAnswer> {
    const { starts, context } = this.#parts
    const instance = await this.#reach.awake(instanceId)
    return await forkInstance({ ...context, starts }, instance, request, call).finally(() =>
      followUp(instance, this.#told),
    )
  }

  async status(instanceId: string): Promise<InstanceInfo> {
    const instance = this.#reach.get(instanceId)
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
    return await instanceConsole(this.#reach.get(instanceId), options)
  }

  async attach(instanceId: string, options: AttachOptions): Promise<Bytes> {
    return await this.#parts.attachments.attach(await this.#reach.awake(instanceId), options)
  }

  async type(instanceId: string, options: TypeOptions): Promise<void> {
    await this.#parts.attachments.type(this.#reach.get(instanceId).id, options)
  }

  async exec(instanceId: string, request: ExecRequest, call: Call = {}): Promise<ExecAnswer> {
    return await this.#reach.talking(instanceId, (instance) => execToEnd(instance, request, call))
  }

  sandbox: Runtime["sandbox"] = (request, call = {}) => this.#parts.sandboxes.run(request, call)

  sandboxStream: Runtime["sandboxStream"] = (request, call = {}) =>
    this.#parts.sandboxes.stream(request, call)

  async execStream(instanceId: string, request: ExecRequest, options: ExecStreamOptions): Promise<Bytes> {
    return await this.#reach.talking(instanceId, (instance) =>
      this.#parts.executions.begin(instance, request, options),
    )
  }

  async execType(instanceId: string, options: ExecTypeOptions): Promise<void> {
    await this.#parts.executions.type(this.#reach.get(instanceId).id, options)
  }

  async execControl(instanceId: string, attachment: string, request: ExecControlRequest): Promise<void> {
    await this.#parts.executions.control(this.#reach.get(instanceId).id, attachment, request)
  }

  async ready(instanceId: string, { timeoutMs = 0, signal }: ReadyOptions = {}): Promise<AgentInfo> {
    const instance = this.#reach.get(instanceId)
    await agentInside(instance, { withinMs: timeoutMs, ...(signal && { signal }) })
    return { ready: true, ...shownAgent(instance) }
  }

  async readFiles(instanceId: string, options: ReadFilesOptions): Promise<Bytes> {
    return await this.#reach.talking(instanceId, (instance) => readFiles(instance, options))
  }

  async writeFiles(instanceId: string, options: WriteFilesOptions): Promise<void> {
    await this.#reach.talking(instanceId, (instance) => writeFiles(instance, options))
  }

  async list(): Promise<readonly InstanceInfo[]> {
    return await Promise.all(Array.from(this.#instances.values(), (one) => this.#shown(one)))
  }

  volumes(): Promise<readonly Volume[]> {
    return this.#parts.volumes.list()
  }

  createVolume(request: VolumeRequest): Promise<Volume> {
    return this.#parts.volumes.create(request)
  }

  removeVolume(name: string): Promise<void> {
    return this.#parts.volumes.remove(name)
  }

  async networks(): Promise<readonly Network[]> {
    return this.#parts.networks.list()
  }

  createNetwork(request: NetworkRequest): Promise<Network> {
    return this.#parts.networks.create(request)
  }

  removeNetwork(name: string): Promise<void> {
    return this.#parts.networks.remove(name)
  }

  async events(options: EventsOptions = {}): Promise<AsyncIterable<RuntimeEvent>> {
    return this.#events.read(options)
  }

  async remove(instanceId: string, options: Call & { readonly force?: boolean } = {}): Promise<void> {
    const instance = this.#reach.get(instanceId)
    await this.#parts.ending.overcome(instance, options.force ?? false)
    // Another life of it may have begun with the end of this one.
    if (this.#instances.get(instanceId) !== instance) return await this.remove(instanceId, options)
    await this.#parts.ending.forget(instance)
    this.#log("removed", instance, {})
  }

  /** OVMS-API-534 */
  async info(): Promise<RuntimeInfo> {
    const { size: total } = this.#instances
    const instances = { total, running: countRunning(this.#instances), limit: this.#limits.running }
    return { ...(await factsAbout(this.#options)), instances, warm: this.#parts.slots.info() }
  }

  /**
   * Lets go of every machine and leaves it running; what is still starting is cancelled, slots and sandboxes are ended.
   * The last thing that a daemon does.
   */
  async close(): Promise<void> {
    clearInterval(this.#looking)
    await disband(this.#parts, [...this.#instances.values()])
  }

  readonly #told: Log = (event, instance, fields) => this.#log(event, instance, fields)

  #log(event: string, instance: Instance, fields: Record<string, unknown>): void {
    this.#options.log?.(event, { instance_id: instance.id, ...fields })
    this.#events.tell(event, instance, fields)
  }
}
