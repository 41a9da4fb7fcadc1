import type { Call } from "../content/interfaces.ts"

/** A virtual machine monitor. One file a method in an adapter's folder; all of them pass vmm.suite.ts. */
export interface Vmm extends Partial<Loader> {
  readonly name: string
  /** What is installed here. Throws OVM_VMM_MISSING. */
  capabilities(call?: Call): Promise<Capabilities>
  /** Everything in `plan` that this VMM cannot honour, all at once. Pure: starts nothing, reads nothing. */
  check(plan: LaunchPlan): readonly Unsupported[]
  /**
   * Starts the machine and returns once it runs. The VMM lives in its own session and outlives this process.
   * Throws OVM_VMM_MISSING, OVM_VMM_FAILED or OVM_VMM_TIMEOUT, with the VMM's own words, and leaves no process behind.
   */
  launch(plan: LaunchPlan, call?: Call): Promise<Machine>
  /**
   * Takes over a machine that an earlier process launched. Resolves also if it has ended meanwhile (`exited` is settled then).
   * Throws OVM_VMM_UNREACHABLE if its process lives and cannot be given commands, which may be tried again as often as wanted.
   */
  adopt(record: MachineRecord, call?: Call): Promise<Machine>
}

/** The optional power of a VMM to go on from a snapshot; all three or none. Its machines are Snapshotters then. */
export interface Loader {
  /**
   * What a machine started from `plan` would show its guest: to be compared, member by member, with a snapshot's. `devices` are the
   * snapshot's own: what a machine may do without is there if they have it. Pure.
   */
  model(plan: LaunchPlan, found: Capabilities, devices?: readonly string[]): GuestModel
  /** `check` for a resume: also everything of the snapshot's `origin` that does not fit what is installed here. Pure. */
  checkResume(plan: ResumePlan, found: Capabilities): readonly Unsupported[]
  /**
   * Starts the VMM with the snapshot's state loaded and the guest paused. RAM and layers are never written to; the caller has
   * verified their digests. Throws OVM_UNSUPPORTED, OVM_SIZE_MISMATCH (RAM), OVM_DISK_INVALID, OVM_FILE_UNREADABLE,
   * OVM_PERMISSION_DENIED, OVM_VMM_FAILED or OVM_VMM_TIMEOUT, with the VMM's own words, and leaves no process behind.
   */
  load(plan: ResumePlan, call?: Loading): Promise<Loaded>
}

export interface Loading extends Call {
  /** The guest goes on as soon as it is loaded, and `resume` finds it running: nobody has to be asked in between. */
  readonly goesOn?: boolean
}

/** A machine that is one command away from running. */
export interface Loaded {
  readonly record: MachineRecord
  /** Milliseconds: the VMM's own start, and loading the state. */
  readonly timings: { readonly spawn: number; readonly load: number }
  /** Settles when the process has ended, as Machine.exited does. */
  readonly exited: Promise<Exit>
  /** Lets the guest run. Once only. Throws OVM_VMM_FAILED, OVM_VMM_TIMEOUT; the process is gone then. */
  resume(): Promise<Machine>
  /** Ends the process. */
  discard(): Promise<void>
}

/** What a guest sees of its machine: fixed at its cold boot, the same through all its snapshots and resumes. */
export interface GuestModel {
  /** How RAM and state of a snapshot are written, such as `qemu-split-1`. */
  readonly format: string
  /** The versioned machine type, such as `pc-q35-7.2`. */
  readonly machineType: string
  /** The CPU model that the guest gets, in the VMM's words. */
  readonly cpu: string
  readonly vcpus: number
  /** Bytes. */
  readonly memory: number
  /** Every device in order, in the VMM's words. */
  readonly devices: readonly string[]
}

/** Where a snapshot came from, and its local files. */
export interface Origin {
  readonly vmm: string
  readonly version: string
  readonly accelerator: Accelerator
  readonly model: GuestModel
  /** The disk that the guest saw, in bytes; absent without a disk. */
  readonly diskSize?: number
  /** Guest RAM as it was, sparse, `model.memory` bytes. Mapped copy on write by every clone. */
  readonly ram: string
  /** Device state. */
  readonly state: string
}

/**
 * `disk.layers` are the base's and then the snapshot's overlays; `disk.overlay` is new. Kernel and initrd are there if, and only
 * if, the guest may still read them (SnapshotParts.boot): else they are in RAM, and cost neither time nor memory.
 */
export interface ResumePlan extends LaunchPlan {
  readonly origin: Origin
  /** Lock all memory of the VMM: the guest's is then its own alone. */
  readonly lockMemory?: boolean
}

export interface Capabilities {
  readonly name: string
  readonly version: string
  readonly binary: string
  readonly accelerator: Accelerator
  /** Why that accelerator: the probe's verdict in words. */
  readonly acceleratorReason: string
  /** Present if machines can be snapshotted and resumed: the machine type of new ones, and all that can be resumed. */
  readonly machineTypes?: { readonly latest: string; readonly all: readonly string[] }
}

export type Accelerator = "kvm" | "tcg"

/** All paths absolute. Strings come from hostile manifests: an adapter never lets them become option syntax. */
export interface LaunchPlan {
  readonly id: string
  /** The instance's own directory, mode 0700: sockets, console, pid and exit files go here. */
  readonly directory: string
  readonly resources: { readonly vcpus: number; readonly memory: number /* bytes */ }
  /** Absent: boot from the disk by BIOS. */
  readonly kernel?: { readonly path: string; readonly args: string }
  readonly initrd?: { readonly path: string }
  /** Layers from base to top, never written to; `overlay` is the writable qcow2 on top, absent for a read-only machine. */
  readonly disk?: { readonly layers: readonly DiskFile[]; readonly overlay?: string }
  readonly devices: readonly DevicePlan[]
  /** Bound on the kept console output, in bytes. */
  readonly consoleLimit: number
  /** Absent: the fastest that works here. */
  readonly accelerator?: Accelerator
  /** VM generation ID, a UUID in lower case; a new random one unless given. */
  readonly generationId?: string
}

export interface DiskFile {
  readonly path: string
  readonly format: "qcow2" | "raw"
}

export interface DevicePlan {
  readonly type: string
  readonly name: string
  /** Bytes. */
  readonly size?: number
  /** As in the manifest: hexadecimal. */
  readonly mmioAddr?: string
  readonly required: boolean
}

export interface Unsupported {
  /** JSON pointer into the OVMS manifest, or the override's name. */
  readonly pointer: string
  /** fatal: the machine is not started. degraded: it is, with a warning. */
  readonly severity: "fatal" | "degraded"
  readonly reason: string
}

/** All that is needed to find the machine again after this process died; kept on disk as JSON. */
export interface MachineRecord {
  readonly vmm: string
  readonly version: string
  readonly accelerator: Accelerator
  readonly directory: string
  readonly bootId: string
  readonly pid: number
  /** Start time of the process in clock ticks since boot (proc(5), field 22): a pid alone may be someone else's. */
  readonly startTime: number
  /** Where the pid counts, by number; absent in records of earlier versions. */
  readonly pidNamespace?: string
  /** Absent in records of versions without snapshots. */
  readonly model?: GuestModel
  /** The VM generation ID that the guest has, a UUID. */
  readonly generationId?: string
}

export interface Machine extends Partial<Snapshotter> {
  readonly record: MachineRecord
  /** Milliseconds that launching took, by phase. */
  readonly timings: { readonly spawn: number; readonly load: number; readonly resume?: number }
  /** Settles when the VMM's process has ended; never rejects. After `detach` it does not settle any more. */
  readonly exited: Promise<Exit>
  /** Settles when the VMM cannot be given commands any more, be it because it ends; absent if that cannot be told. */
  readonly cut?: Promise<void>
  /** Resident memory in bytes and CPU time in ms of the VMM's process; undefined once it has ended. */
  usage(): Promise<{ readonly rss: number; readonly cpuTime: number } | undefined>
  /** What the guest does, whoever had it do that, as far as the VMM has told. */
  readonly guest: Guest
  /** Calls `listener`, the last one given, whenever `guest` has changed. */
  onGuest(listener: () => void): void
  /** Tries at once what is tried again and again behind the scenes: to have a guest go on after a snapshot that failed. */
  settle?(): Promise<void>
  pause(): Promise<void>
  /** Lets the guest go on. Throws OVM_NO_SPACE or OVM_VMM_FAILED if it stands still again at once, for want of its disk. */
  resume(): Promise<void>
  /** Asks the guest to power off, after `graceMs` ends the VMM, then kills it. Says which of them it took. */
  stop(options?: Call & { readonly graceMs?: number }): Promise<StopMethod>
  /** Forget the machine, leave it running. */
  detach(): void
}

export interface Guest {
  readonly running: boolean
  /**
   * Why it does not run: it was told to stop, the host could not do what it asked of its disk, for want of room or otherwise, or it has not gone
   * on yet after a snapshot.
   */
  readonly reason?: "request" | "disk-full" | "io-error" | "snapshot"
  /** What the host said to that. */
  readonly message?: string
}

export type StopMethod = "guest" | "ended" | "killed" | "already"

export interface Exit {
  /** Exit status of the VMM, or 128 + signal; undefined if nobody could learn it (host restarted, killed with its wrapper). */
  readonly status?: number
  /**
   * What the guest or operator did, as far as the VMM told: "guest-shutdown", "guest-reset", "guest-panic", "quit", "signal";
   * "internal-error" if the VMM could not go on itself.
   * If nobody was there to be told: "ended" (status 0) or "failed"; "lost" if there is not even a status.
   */
  readonly reason: string
  /** The last words of the VMM on standard error, bounded. */
  readonly message?: string
}

/** The optional power of a machine to be snapshotted, cold-booted or resumed, running or paused. */
export interface Snapshotter {
  /**
   * Takes RAM, device state and disk at one instant. The machine goes on afterwards, or stays paused if it was; it writes to
   * `into.overlay` from then on, and what it wrote to until then (`disk.frozen`) is never written again.
   * After any failure the machine is as it was and none of the files is left. One at a time.
   * Throws OVM_STATE_CONFLICT, OVM_UNSUPPORTED, OVM_NO_SPACE, OVM_PERMISSION_DENIED, OVM_VMM_FAILED, OVM_VMM_TIMEOUT, OVM_INTERRUPTED.
   */
  snapshot(into: SnapshotSink, call?: Call): Promise<SnapshotParts>
  /**
   * The file that the guest's writes go to now; undefined if it cannot write. Whoever was killed in mid-snapshot asks this after
   * `adopt`, which has taken back what was not complete.
   */
  overlay(): Promise<string | undefined>
}

/**
 * Absolute paths of files that do not exist yet, all on file systems with holes. Only those in the machine's directory are removed by
 * whoever adopts it after a crash.
 */
export interface SnapshotSink {
  readonly ram: string
  readonly state: string
  /** Needed if the machine can write to its disk: what it writes to afterwards. */
  readonly overlay?: string
}

/** Everything that a snapshot's descriptor needs of the VMM. Sizes in bytes. */
export interface SnapshotParts {
  readonly origin: Origin
  /** Of RAM, those bytes that are not zero pages. */
  readonly ramData: number
  readonly stateSize: number
  /** Absent if the guest has no disk that it can write to. */
  readonly disk?: { readonly frozen: string; readonly overlay: string }
  /** The source's, which it keeps. */
  readonly generationId?: string
  /** What the machine was started with, where the guest may still read that: a resume has to give it again. */
  readonly boot?: { readonly args: string }
  /** True if the guest ran, and runs on. */
  readonly running: boolean
  readonly timings: SnapshotTimings
}

/** Milliseconds. */
export interface SnapshotTimings {
  /** Making and attaching the new overlay, opening the files. */
  readonly prepare: number
  /** Copying RAM while the guest runs. */
  readonly copy: number
  /** From the guest's last instruction to its next; 0 if it was paused anyway. */
  readonly paused: number
  /** Within `paused`: changing to the new overlay. */
  readonly disk: number
  /** Within `paused`: the last pages and the device state. */
  readonly state: number
  /** After the guest went on: the rest of what was received, written and checked. */
  readonly finish: number
  readonly total: number
}
