import type { Bytes, Call } from "../content/interfaces.ts"
import type { ErrorCode } from "../errors.ts"
import type { StopMethod as MachineStop } from "../vmm/interfaces.ts"

/**
 * What a runtime does, in process (runtime/local.ts) and over the socket (api/client.ts) alike.
 * Field names are those of the wire (spec/runtime-api.md), so that nothing is translated between the two.
 */
export interface Runtime {
  /**
   * Starts a machine. Where its content is local, planning and every check are done before the answer and their errors are
   * thrown here; otherwise the answer comes first and later trouble is in the status (spec/runtime-api.md).
   */
  start(request: StartRequest, call?: Call): Promise<StartAnswer>
  /** Begins to stop it; the end shows in its status. Stopping what has ended is no error. Throws OVM_INSTANCE_UNKNOWN. */
  stop(request: StopRequest, call?: Call): Promise<StopAnswer>
  /** Throws OVM_UNSUPPORTED where the instance's VMM cannot take snapshots. */
  snapshot(request: SnapshotRequest, call?: Call): Promise<SnapshotAnswer>
  /**
   * Keeps that many machines loaded and paused for a local snapshot, so that a start of it is one command; answers once they are
   * ready or cannot be. 0 ends it. Throws OVM_UNSUPPORTED for what is no snapshot, OVM_TOO_MANY above the memory granted, and
   * what a start can throw if not one slot could be made.
   */
  warm(request: WarmRequest, call?: Call): Promise<WarmAnswer>
  /** Has the guest stand still, or go on; one that does already is no error. Throws OVM_STATE_CONFLICT, and what the VMM can throw. */
  pause(instanceId: string, call?: Call): Promise<PauseAnswer>
  resume(instanceId: string, call?: Call): Promise<PauseAnswer>
  status(instanceId: string, call?: Call): Promise<InstanceInfo>
  /** Raw console bytes kept so far; with `follow` also what comes, until the instance ends or `signal` aborts. */
  logs(instanceId: string, options?: Call & { readonly follow?: boolean }): Promise<Bytes>
  list(call?: Call): Promise<readonly InstanceInfo[]>
  /** Forgets an instance that has ended; with `force` one that runs is killed first. Throws OVM_STATE_CONFLICT. */
  remove(instanceId: string, options?: Call & { readonly force?: boolean }): Promise<void>
  health(call?: Call): Promise<Health>
  info(call?: Call): Promise<RuntimeInfo>
}

export interface Health {
  readonly status: "ok"
  /** Folder of its state, by which a client knows whose runtime it is that answers. */
  readonly root?: string
}

export interface StartRequest {
  /** An OCI reference, or a path that starts with `/` or `./` (over the socket: absolute). */
  readonly manifest: string
  readonly overrides?: Overrides
}

export interface Overrides {
  readonly name?: string
  /** Bytes. */
  readonly memory?: number
  readonly vcpus?: number
  /** Kernel command line; replaces the manifest's. */
  readonly args?: string
  readonly vmm?: string
  /** No writable overlay: the guest sees a read-only disk. */
  readonly readOnly?: boolean
  /** Boot the base of a snapshot that does not fit this host, and say so in a warning. As the manifest hints unless told. */
  readonly coldBootOnMismatch?: boolean
  /** Go on from the newest local snapshot that fits, or boot whatever there is. As the manifest hints unless told. */
  readonly resume?: boolean
}

export interface StartAnswer {
  readonly instance_id: string
  readonly status: "starting" | "running"
}

export interface StopRequest {
  readonly instance_id: string
  /** How long the guest may take to power off by itself, in ms. */
  readonly grace_ms?: number
}

export interface StopAnswer {
  readonly status: State
}

export interface PauseAnswer {
  readonly status: State
}

export interface SnapshotRequest {
  readonly instance_id: string
  readonly tag: string
  /** Stop the machine at the instant of the snapshot. */
  readonly stop?: boolean
  /** zstd unless told. */
  readonly compression?: "zstd" | "lz4"
  /** Look for secrets in the RAM first: with any, be refused with OVM_SECRETS_FOUND, or only be told. */
  readonly scrub_check?: "refuse" | "report"
  /** Whether the snapshot may be resumed more than once; it may unless told. */
  readonly multi_resume?: "allow" | "deny"
  /** What whoever resumes it is to do with its RAM; as its parent's unless told. */
  readonly preload_hint?: boolean
  readonly mlock_required?: boolean
}

export interface SnapshotAnswer {
  readonly snapshot_ref: string
  /** By phase; `paused` is for how long the guest did not run. */
  readonly timings_ms?: { readonly paused: number; readonly total: number; readonly [phase: string]: number }
  /** What the search for secrets found, if one was asked for. */
  readonly scrub?: ScrubReport
}

/** `scrub` of a snapshot descriptor: kinds, how many and where in the RAM, never what was found. */
export interface ScrubReport {
  readonly checked: boolean
  readonly findings: readonly {
    readonly kind: string
    readonly count: number
    readonly offsets?: readonly number[]
  }[]
}

export interface WarmRequest {
  /** The name of a snapshot on this host. */
  readonly manifest: string
  readonly slots: number
}

export interface WarmAnswer {
  /** Digest of the snapshot; absent if the name stands for nothing. */
  readonly snapshot?: string
  readonly slots: number
  readonly ready: number
}

/** spec/instance-states.md */
export type State = "starting" | "running" | "paused" | "stopping" | "stopped" | "failed"
export type Phase = "resolving" | "pulling" | "verifying" | "preparing" | "launching"

/** `cancelled`: there was no machine to be stopped yet. */
export type StopMethod = MachineStop | "cancelled"

export interface ErrorEntry {
  readonly code: ErrorCode
  readonly message: string
  readonly detail?: unknown
}

/** Sizes in bytes, durations in ms, times in RFC 3339. */
export interface InstanceInfo {
  readonly instance_id: string
  readonly name: string
  readonly state: State
  /** Only while starting. */
  readonly phase?: Phase
  /** Why the guest stands still; only while paused. */
  readonly reason?: "request" | "disk-full" | "io-error" | "snapshot"
  /** Only if the VMM's process lives and cannot be given commands just now (spec/instance-states.md). */
  readonly reachable?: false
  readonly image: { readonly reference: string; readonly digest?: string }
  readonly vmm?: { readonly name: string; readonly version: string; readonly accelerator: string }
  /** Without vcpus and memory only if the record cannot be read. */
  readonly resources: {
    readonly vcpus?: number
    readonly memory?: number
    readonly rss?: number
    readonly cpu_time_ms?: number
  }
  readonly timings_ms: Timings
  /** Digest of the snapshot that it was resumed from. */
  readonly snapshot?: string
  /** The VM generation ID that the guest sees: of this process alone. */
  readonly generation_id?: string
  readonly warnings: readonly string[]
  readonly exit?: { readonly status?: number; readonly reason: string }
  readonly stop_method?: StopMethod
  readonly error?: ErrorEntry
  readonly created: string
  readonly started?: string
  readonly finished?: string
}

export interface Timings {
  readonly resolve?: number
  readonly verify?: number
  readonly prepare?: number
  readonly spawn?: number
  readonly load?: number
  /** The one command after which a loaded guest runs. */
  readonly resume?: number
  readonly running?: number
  readonly total?: number
}

export interface RuntimeInfo {
  readonly version: string
  readonly pid: number
  readonly root: string
  readonly vmms: readonly VmmInfo[]
  readonly instances: { readonly total: number; readonly running: number; readonly limit: number }
  readonly warm: readonly WarmInfo[]
  readonly policy: PolicyFacts
}

/** Which policy holds (spec/policy.md). */
export interface PolicyFacts {
  /** Path of the policy file. */
  readonly file: string
  /** Whether there is one. */
  readonly active: boolean
  /** Why it cannot be understood: nothing starts until it can. */
  readonly error?: ErrorEntry
}

/** Slots of one name. */
export interface WarmInfo {
  readonly reference: string
  /** Absent while the name stands for nothing. */
  readonly snapshot?: string
  readonly wanted: number
  readonly ready: number
  /** Why there are fewer than wanted, if they are not just being made. */
  readonly reason?: ErrorEntry
}

export type VmmInfo =
  | {
      readonly name: string
      readonly version: string
      readonly binary: string
      readonly accelerator: string
      readonly accelerator_reason: string
    }
  | { readonly name: string; readonly error: ErrorEntry }
