import { type ErrorCode, OvmError } from "../errors.ts"

/** An error of this code with what helps here; anything else as it is. */
export function hinted(thrown: unknown, code: ErrorCode, hint: string): unknown {
  if (!(thrown instanceof OvmError && thrown.code === code)) return thrown
  const { message, detail } = thrown
  return new OvmError(code, message, { detail, cause: thrown, hint })
}
