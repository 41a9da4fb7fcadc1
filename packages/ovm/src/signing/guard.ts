import { type ErrorCode, OvmError } from "../errors.ts"

/** Reads one part of what a stranger signed, and says which part it was if it cannot be read. */
export function guard<T>(code: ErrorCode, message: string, read: () => T): T {
  try {
    return read()
  } catch (cause) {
    const why = cause instanceof Error ? `: ${cause.message}` : ""
    throw new OvmError(code, `${message}${why}`, { cause })
  }
}
