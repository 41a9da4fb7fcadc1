import type { Call } from "../content/interfaces.ts"
import type { Loader } from "./loader.ts"
import type { Machine, MachineRecord } from "./machine.ts"
import type { LaunchPlan, Unsupported } from "./plan.ts"

/**
 * A virtual machine monitor, as an adapter offers it to the runtime. An adapter has one file for each method in its
 * folder, and all of them pass vmm.suite.ts. It may be a class: its methods are called on it.
 */
export interface Vmm {
  readonly name: string
  /**
   * False while its program is not installed and nobody has said where it is: it is not spoken of then, unless it is
   * asked for by name. Absent: always spoken of.
   */
  installed?(): boolean
  /** What is installed here. Throws OVM_VMM_MISSING. */
  capabilities(call?: Call & GuestKind): Promise<Capabilities>
  /**
   * Everything in `plan` that this VMM, as it is installed here, cannot honour, all at once. Starts nothing. Throws
   * OVM_VMM_MISSING.
   */
  check(plan: LaunchPlan, call?: Call): Promise<readonly Unsupported[]>
  /**
   * Starts the machine and returns once it runs. The VMM lives in its own session and outlives this process.
   * Throws OVM_VMM_MISSING, OVM_VMM_FAILED or OVM_VMM_TIMEOUT, with the VMM's own words, and leaves no process behind.
   */
  launch(plan: LaunchPlan, call?: Call): Promise<Machine>
  /**
   * Takes over a machine that an earlier process launched. Resolves also if it has ended meanwhile (`exited` is settled
   * then). Throws OVM_VMM_UNREACHABLE if its process lives and cannot be given commands, which may be tried again as
   * often as wanted.
   */
  adopt(record: MachineRecord, call?: Call): Promise<Machine>
  /** Absent: it takes no snapshots, and goes on from none. */
  readonly loader?: Loader
  /**
   * Ends what it keeps running for all of its machines, which go on; it begins again when it is asked something. False
   * if that had to be killed. Absent: it keeps nothing.
   */
  close?(): Promise<boolean>
}

/** Whom the VMM is asked about: guests for this host's PCs unless told. */
export type GuestKind = Pick<LaunchPlan, "architecture">

export interface Capabilities {
  readonly name: string
  readonly version: string
  readonly binary: string
  /** What machines run on unless told otherwise, such as `kvm`: a name, which snapshots have too. */
  readonly accelerator: string
  /** Why that accelerator: the probe's verdict in words. */
  readonly acceleratorReason: string
  /** All that work here. */
  readonly accelerators: readonly string[]
  /** Of the guests that it runs, in the words of OCI; absent: amd64. */
  readonly architectures?: readonly string[]
  /** Present if machines can be snapshotted and resumed: what snapshots that can be gone on from may have. */
  readonly snapshots?: {
    readonly machineTypes: readonly string[]
    /** CPU models of earlier versions, where they emulated one: it is the same as ever. */
    readonly emulatedBefore?: readonly string[]
  }
  /** Whether each of its machines sees nothing of the host but what it uses, as a user of its own, and why (not). */
  readonly jailed?: { readonly active: boolean; readonly reason: string }
}
