import type { Call } from "../content/interfaces.ts"
import type { RamFile, SnapshotOrigin } from "./plan.ts"

/** The optional power of a machine to be snapshotted, cold-booted or resumed, running or paused. */
export interface Snapshotter {
  /**
   * Takes RAM, device state and disks at one instant. The machine goes on afterwards, or stays paused if it was; it
   * writes to the overlays of `into` from then on, and what it wrote to until then (`frozen`) is never written again.
   * After any failure the machine is as it was and none of the files is left. Of a machine that has ended meanwhile an
   * overlay is left, by its name, if it has what the guest wrote last (runtime/turning.ts). One at a time. At an
   * instant that no clone could go on from, if only for a moment, OVM_STATE_CONFLICT has the requirement OVMS-SNP-136
   * in its detail. Throws OVM_STATE_CONFLICT, OVM_UNSUPPORTED, OVM_NO_SPACE, OVM_PERMISSION_DENIED, OVM_VMM_FAILED,
   * OVM_VMM_TIMEOUT, OVM_INTERRUPTED.
   */
  snapshot(into: InstantSink, call?: SnapshotCall): Promise<SnapshotParts>
  /**
   * The file that the guest's writes go to now; undefined if it cannot write. Whoever was killed in mid-snapshot asks
   * this after `adopt`, which has taken back what was not complete.
   */
  overlay(): Promise<string | undefined>
  /**
   * The same of each further disk that it can write to, by name. Absent where what is written to those is in no
   * snapshot: no machine that has some is snapshotted then.
   */
  furtherOverlays?(): Promise<ReadonlyMap<string, string>>
}

/**
 * Absolute paths of files that do not exist yet, all on file systems with holes. Only those in the machine's directory
 * are removed by whoever adopts it after a crash.
 */
export interface SnapshotSink {
  readonly ram: string
  readonly state: string
  /** Needed if the machine can write to its disk and goes on: what it writes to afterwards. */
  readonly overlay?: string
}

/** What is asked of an instant besides. */
export interface InstantSink extends SnapshotSink {
  /** The machine is paused, and is ended afterwards: what it writes to is left as it is at this instant. */
  readonly last?: true
  /** As `overlay`, for each further disk that the machine can write to, by its name. */
  readonly disks?: ReadonlyMap<string, string>
}

/** What the guest wrote to until that instant, and what it writes to since. */
export interface Frozen {
  readonly frozen: string
  readonly overlay: string
}

/** How a snapshot is taken. */
export interface SnapshotCall extends Call {
  /**
   * Called where a snapshot failed while nobody could say whether the first disk had been turned, and it has: before
   * the guest goes on. Adapters whose overlays can be taken back never do.
   */
  onTurned?(disk: Frozen): Promise<void>
}

/** Everything that a snapshot's descriptor needs of the VMM. Sizes in bytes. */
export interface SnapshotParts {
  readonly origin: SnapshotOrigin & { readonly ram: RamFile }
  /** Of RAM, those bytes that are not zero pages. */
  readonly ramData: number
  readonly stateSize: number
  /** Absent if the guest has no disk that it can write to. */
  readonly disk?: Frozen
  /** The same of further disks, by name; absent where there is none that it can write to. */
  readonly disks?: ReadonlyMap<string, Frozen>
  /** The source's, which it keeps. */
  readonly generationId?: string
  /** What the machine was started with, where the guest may still read that: a resume has to give it again. */
  readonly boot?: { readonly args: string }
  /** It can be gone on from under the same kernel of the host alone. */
  readonly hostKernel?: true
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
