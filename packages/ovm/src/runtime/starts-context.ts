import type { OvmError } from "../errors.ts"
import type { Ending, Log } from "./ending.ts"
import type { Instance } from "./instance.ts"
import type { Networks } from "./networks.ts"
import type { PlanContext } from "./plan.ts"
import type { Slots } from "./warm/slots.ts"

/** What starts are made with. */
export interface StartsContext extends Omit<PlanContext, "claims"> {
  /** Directory that holds one directory an instance. */
  readonly instances: string
  /** By id. */
  readonly running: Map<string, Instance>
  readonly slots: Slots
  readonly networks: Networks
  readonly ending: Ending
  /** Called with an instance that has got its machine. */
  readonly onMachine: (instance: Instance) => void
  /** Called with every instance, and with every further life of one, before it can end. */
  readonly onInstance: (instance: Instance) => void
  readonly told: Log
  /** Why nothing may be started. */
  readonly fault?: OvmError
}
