import { type ErrorCode, OvmError } from "../../errors.ts"
import { fullness } from "../../files/full.ts"

/** What says of itself what the host lacks is not asked twice. */
const WITHOUT_REASON: readonly ErrorCode[] = ["OVM_VMM_FAILED", "OVM_HOST_FAILED"]

/**
 * Why the VMM that works in `directory` did not start: `error`, unless nothing could be written there, which few of
 * those who need it say.
 */
export function orFull(error: OvmError, directory: string): OvmError {
  const why = WITHOUT_REASON.includes(error.code) ? fullness(directory) : undefined
  if (why === undefined) return error
  return new OvmError("OVM_NO_SPACE", `${directory}: ${why}; ${error.message}`, { cause: error })
}
