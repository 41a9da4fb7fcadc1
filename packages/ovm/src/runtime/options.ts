import type { OvmError } from "../errors.ts"
import type { Images } from "../images/images.ts"
import type { Vmm } from "../vmm/vmm.ts"
import type { Defaults, Limits } from "./limits.ts"

export interface LocalRuntimeOptions {
  readonly version: string
  readonly root: string
  /** Directory that holds one directory an instance. */
  readonly instances: string
  readonly images: Images
  readonly vmms: readonly Vmm[]
  readonly limits?: Partial<Limits>
  readonly defaults?: Partial<Defaults>
  /** Why nothing may be started: what the operator has said cannot be understood. */
  readonly fault?: OvmError
  /** Hears of every change of state and of what went wrong behind an answer. */
  readonly log?: (event: string, fields: Record<string, unknown>) => void
}
