import type { Call } from "../content/interfaces.ts"
import type { Exit, Machine, MachineRecord } from "./machine.ts"
import type { GuestModel, LaunchPlan, ResumePlan, Unsupported } from "./plan.ts"

/** The optional power of a VMM to go on from a snapshot. Its machines are Snapshotters then. */
export interface Loader {
  /**
   * What a machine started from `plan` would show its guest: whoever resumes a snapshot compares it, member by member,
   * with what the guest has seen so far (artifact/snapshot/compatibility.ts). `devices` are the snapshot's own: what a
   * machine may do without is there if they have it. Throws OVM_VMM_MISSING.
   */
  model(plan: LaunchPlan, devices?: readonly string[]): Promise<GuestModel>
  /**
   * The MAC address of the network interface that the guest of a snapshot with these devices has; undefined if it has
   * none.
   */
  macIn(devices: readonly string[]): string | undefined
  /** Whether the guest of a snapshot with these devices has the way to an agent. */
  agentIn(devices: readonly string[]): boolean
  /** Vmm.check for a resume: what this VMM cannot honour of a plan whose model fits. */
  check(plan: ResumePlan, call?: Call): Promise<readonly Unsupported[]>
  /**
   * Starts the VMM with the snapshot's state loaded and the guest paused. RAM and layers are never written to; the
   * caller has verified their digests, and that the model fits. Throws OVM_UNSUPPORTED, OVM_SIZE_MISMATCH (RAM),
   * OVM_DISK_INVALID, OVM_FILE_UNREADABLE, OVM_PERMISSION_DENIED, OVM_VMM_FAILED or OVM_VMM_TIMEOUT, with the VMM's own
   * words, and leaves no process behind.
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
  /**
   * Lets the guest run. Once only. `unlinked`: whatever its interface was to be connected to, it has no link. Throws
   * OVM_VMM_FAILED, OVM_VMM_TIMEOUT; the process is gone then.
   */
  resume(options?: { readonly unlinked?: boolean }): Promise<Machine>
  /** Ends the process. */
  discard(): Promise<void>
}
