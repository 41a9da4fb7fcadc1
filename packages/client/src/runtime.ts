import type {
  AgentInfo,
  CommitAnswer,
  CommitRequest,
  CreateAnswer,
  ExecAnswer,
  ExecControlRequest,
  ExecRequest,
  Explanation,
  ForkAnswer,
  ForkRequest,
  Health,
  InstanceInfo,
  Network,
  NetworkRequest,
  PauseAnswer,
  Port,
  PortRemoved,
  PortRequest,
  RenameRequest,
  RuntimeEvent,
  RuntimeInfo,
  SandboxAnswer,
  SandboxRequest,
  SnapshotAnswer,
  SnapshotRequest,
  StartAnswer,
  StartRequest,
  StopAnswer,
  StopRequest,
  Volume,
  VolumeRequest,
  WarmAnswer,
  WarmRequest,
} from "./wire.ts"

/** Content on its way: chunks of any size, in order. */
export type Bytes = AsyncIterable<Uint8Array>

/** A port of the host by which it leads to a machine: of 127.0.0.1, and TCP, unless it says so. */
export type PortNamed = Pick<Port, "host"> & Partial<Pick<Port, "address" | "protocol">>

/** What every call accepts. */
export interface Call {
  readonly signal?: AbortSignal
}

/**
 * What a runtime does, in the daemon's process and over its socket alike. Field names are those of the wire
 * (spec/runtime-api.md), so that nothing is translated between the two.
 */
export interface LogsOptions extends Call {
  readonly follow?: boolean
  readonly previous?: boolean
  /** Begin with so many lines of what is kept. */
  readonly tail?: number
  /** Begin with what came then or later, in RFC 3339. */
  readonly since?: string
  /** One JSON object a line, in place of the bytes: `time`, when it came, and `text`. */
  readonly timestamps?: boolean
}

/** Who is attached: a name that the client makes up, 1 to 64 letters, digits and hyphens. */
export interface AttachOptions extends Call {
  readonly attachment: string
  /** As of the logs. */
  readonly tail?: number
}

export interface TypeOptions extends Call {
  readonly attachment: string
  readonly bytes: Uint8Array
  /** Of the terminal that it is typed on: the guest is told by its agent. */
  readonly window?: WindowSize
}

export interface WindowSize {
  readonly rows: number
  readonly columns: number
}

/** A command under a name that the client makes up, 1 to 64 letters, digits and hyphens. */
export interface ExecStreamOptions extends Call {
  readonly attachment: string
}

export interface ExecTypeOptions extends Call {
  readonly attachment: string
  readonly bytes: Uint8Array
  /** No more comes. */
  readonly end?: boolean
}

export interface ReadyOptions extends Call {
  /** How long to wait; not at all unless given. */
  readonly timeoutMs?: number
}

export interface ReadFilesOptions extends Call {
  /** In the guest; it begins with a slash. */
  readonly path: string
}

export interface WriteFilesOptions extends ReadFilesOptions {
  /** A tar archive. */
  readonly content: Bytes
  /** Where there is no folder at `path`, what comes is called so. */
  readonly rename?: boolean
}

export interface EventsOptions extends Call {
  /** The id of the last one that was seen. */
  readonly after?: string
  readonly follow?: boolean
}

export interface Runtime {
  /**
   * Starts a machine. Where its content is local, planning and every check are done before the answer and their errors
   * are thrown here; otherwise the answer comes first and later trouble is in the status (spec/runtime-api.md).
   */
  start(request: StartRequest, call?: Call): Promise<StartAnswer>
  /**
   * Begins to stop it; the end shows in its status. Stopping what has ended is no error. Throws OVM_INSTANCE_UNKNOWN.
   */
  stop(request: StopRequest, call?: Call): Promise<StopAnswer>
  /** Throws OVM_UNSUPPORTED where the instance's VMM cannot take snapshots. */
  snapshot(request: SnapshotRequest, call?: Call): Promise<SnapshotAnswer>
  /**
   * Keeps that many machines loaded and paused for a local snapshot, so that a start of it is one command; answers once
   * they are ready or cannot be. 0 ends it. Throws OVM_UNSUPPORTED for what is no snapshot, OVM_TOO_MANY above the
   * memory granted, and what a start can throw if not one slot could be made.
   */
  warm(request: WarmRequest, call?: Call): Promise<WarmAnswer>
  /**
   * Has the guest stand still, or go on; one that does already is no error. Throws OVM_STATE_CONFLICT, and what the VMM
   * can throw.
   */
  pause(instanceId: string, call?: Call): Promise<PauseAnswer>
  resume(instanceId: string, call?: Call): Promise<PauseAnswer>
  /**
   * Makes an instance from content that is local, and does not start it: that is `startAgain`. Throws what a start can
   * throw, and OVM_UNSUPPORTED for what would go on from a snapshot.
   */
  create(request: StartRequest, call?: Call): Promise<CreateAnswer>
  /**
   * What a start with this request would boot or go on from, and by which VMM, with what each finds. Nothing is fetched
   * or started.
   */
  explain(request: StartRequest, call?: Call): Promise<Explanation>
  /**
   * Makes an image of a machine that has ended or is paused, with what its guest has written as one more layer. Throws
   * OVM_STATE_CONFLICT for one that runs, OVM_UNSUPPORTED where nothing could be written.
   */
  commit(instanceId: string, request: CommitRequest, call?: Call): Promise<CommitAnswer>
  /** Throws OVM_NAME_IN_USE; OVM_STATE_CONFLICT while it is starting. */
  rename(instanceId: string, request: RenameRequest, call?: Call): Promise<void>
  /**
   * Makes further machines of one that runs or is paused, which go on from one instant of it; it goes on as it was.
   * Answers once they are on record; later trouble is in their status. Throws OVM_NAME_IN_USE, OVM_TOO_MANY,
   * OVM_RESUME_DENIED, OVM_STATE_CONFLICT, OVM_UNSUPPORTED: then there is none.
   */
  fork(instanceId: string, request: ForkRequest, call?: Call): Promise<ForkAnswer>
  /**
   * Has one more port of the host lead to the machine, at once where it runs; gives it in full. Throws
   * OVM_PORT_IN_USE, OVM_PERMISSION_DENIED, OVM_TOO_MANY, OVM_STATE_CONFLICT, OVM_UNSUPPORTED: then nothing has
   * changed.
   */
  addPort(instanceId: string, request: PortRequest, call?: Call): Promise<Port>
  /** Gives the port that it was. Throws OVM_PORT_UNKNOWN, OVM_STATE_CONFLICT, OVM_UNSUPPORTED. */
  removePort(instanceId: string, port: PortNamed, call?: Call): Promise<PortRemoved>
  /**
   * Boots a machine again that has ended, from the disk that its guest wrote to; one that starts or runs is left alone.
   * Throws OVM_STATE_CONFLICT, and what a start can throw: then it is as it was.
   */
  startAgain(instanceId: string, call?: Call): Promise<StartAnswer>
  /**
   * Stops a machine and starts it again; what would keep it from that is thrown before it is stopped. `graceMs` is what
   * its guest may take to power off. Goes on if the call is aborted.
   */
  restart(instanceId: string, options?: Call & { readonly graceMs?: number }): Promise<StartAnswer>
  status(instanceId: string, call?: Call): Promise<InstanceInfo>
  /**
   * Raw console bytes kept so far; with `follow` also what comes, until the instance ends or `signal` aborts; with
   * `previous` those of the machine's life before, if it has had one.
   */
  logs(instanceId: string, options?: LogsOptions): Promise<Bytes>
  /**
   * The console as `logs` that follow have it, and for as long as it is read the keyboard as well: what is given to
   * `type` under the same attachment. Throws OVM_STATE_CONFLICT where another one is attached, or the machine does not
   * run, and OVM_UNSUPPORTED where it has no input.
   */
  attach(instanceId: string, options: AttachOptions): Promise<Bytes>
  /**
   * At most 64 KiB for the guest; settles once they are on their way. The next ones come after them if they are given
   * then. Throws OVM_STATE_CONFLICT if that attachment is not attached.
   */
  type(instanceId: string, options: TypeOptions): Promise<void>
  /**
   * Runs a command inside the machine to its end, and collects what it writes. It is killed if the call is aborted.
   * Throws OVM_AGENT_UNAVAILABLE, OVM_STATE_CONFLICT for a machine that does not run, OVM_UNSUPPORTED for one without
   * the way to an agent.
   */
  exec(instanceId: string, request: ExecRequest, call?: Call): Promise<ExecAnswer>
  /**
   * Runs one for as long as the answer is read; what it writes, and its end, are in that answer: `execPieces` takes it
   * apart. Throws what `exec` throws.
   */
  execStream(instanceId: string, request: ExecRequest, options: ExecStreamOptions): Promise<Bytes>
  /**
   * At most 64 KiB for a command that is interactive or has a terminal; settles once its guest has room for them.
   * Throws OVM_STATE_CONFLICT if none runs under that name.
   */
  execType(instanceId: string, options: ExecTypeOptions): Promise<void>
  /** A signal, or another size of the terminal. Throws OVM_STATE_CONFLICT if none runs under that name. */
  execControl(instanceId: string, attachment: string, request: ExecControlRequest, call?: Call): Promise<void>
  /** Waits until an agent answers inside. Throws OVM_AGENT_UNAVAILABLE if none does in time. */
  ready(instanceId: string, options?: ReadyOptions): Promise<AgentInfo>
  /**
   * What is at a path inside the machine, as a tar archive. Throws OVM_FILE_UNREADABLE, and as `exec` does; the answer
   * breaks off if not all of it can be read.
   */
  readFiles(instanceId: string, options: ReadFilesOptions): Promise<Bytes>
  /**
   * Unpacks a tar archive at a path inside the machine, however long it comes. A file that is replaced is as it was
   * until all of the new one is there. Throws OVM_FILE_UNREADABLE in the guest's words, and as `exec` does.
   */
  writeFiles(instanceId: string, options: WriteFilesOptions): Promise<void>
  /**
   * Runs a command in a machine of its own, which is gone when this settles; a snapshot goes on in milliseconds, an
   * image boots. `content` and `input` are base64. Throws what `start` and `exec` throw, and OVM_FILE_UNREADABLE for
   * files that cannot be written.
   */
  sandbox(request: SandboxRequest, call?: Call): Promise<SandboxAnswer>
  /** The same for as long as the answer is read: `sandboxPieces` takes that apart. */
  sandboxStream(request: SandboxRequest, call?: Call): Promise<Bytes>
  list(call?: Call): Promise<readonly InstanceInfo[]>
  /** Forgets an instance that has ended; with `force` one that runs is killed first. Throws OVM_STATE_CONFLICT. */
  remove(instanceId: string, options?: Call & { readonly force?: boolean }): Promise<void>
  /** All volumes, by name (spec/volumes.md). */
  volumes(call?: Call): Promise<readonly Volume[]>
  /** Makes one. Throws OVM_NAME_IN_USE. */
  createVolume(request: VolumeRequest, call?: Call): Promise<Volume>
  /** Deletes one with all that it holds. Throws OVM_VOLUME_UNKNOWN, OVM_VOLUME_IN_USE. */
  removeVolume(name: string, call?: Call): Promise<void>
  /** All networks that machines share, by name (spec/networks.md). */
  networks(call?: Call): Promise<readonly Network[]>
  /**
   * Makes one. Throws OVM_NAME_IN_USE, OVM_SUBNET_IN_USE, OVM_PERMISSION_DENIED for a runtime without the rights,
   * OVM_UNSUPPORTED where the host lacks what it takes.
   */
  createNetwork(request: NetworkRequest, call?: Call): Promise<Network>
  /** Deletes one. Throws OVM_NETWORK_UNKNOWN, OVM_NETWORK_IN_USE. */
  removeNetwork(name: string, call?: Call): Promise<void>
  /**
   * What happens to instances: what is kept of it, then with `follow` what comes. An event `lost` says that something
   * is missing (spec/runtime-api.md).
   */
  events(options?: EventsOptions): Promise<AsyncIterable<RuntimeEvent>>
  health(call?: Call): Promise<Health>
  info(call?: Call): Promise<RuntimeInfo>
}
