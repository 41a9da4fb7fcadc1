import { OvmError } from "../errors.ts"
import type { Instance } from "./instance.ts"

/** OVM_STATE_CONFLICT; `reason` is the end of a sentence about the instance. */
export function conflict(instance: Instance, reason: string, cause?: unknown): OvmError {
  return new OvmError("OVM_STATE_CONFLICT", `instance ${instance.id} ${reason}`, {
    detail: { state: instance.state },
    cause,
  })
}
