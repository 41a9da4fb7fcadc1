import type { Filtered } from "./filter.ts"
import type { AllowedNetwork } from "./rules.ts"

/** Whom a machine is connected to. */
export interface Connected extends Pick<Filtered, "mac" | "forwards" | "onStay"> {
  /** All that the guest may connect to; absent: whatever is public. */
  readonly allowed?: readonly AllowedNetwork[]
  /** False: to nothing at all, whatever is allowed. */
  readonly outbound?: boolean
}

/** What a VMM's network interface is connected to: a descriptor for the VMM, and what is behind it. */
export interface MachineLink extends Disposable {
  /** For the VMM to inherit. */
  readonly vmmEnd: number
  /** The VMM was started, and has inherited its end. */
  handedOver(): void
  /** Connects it, once. */
  start(whom: Connected): Promise<void>
}
