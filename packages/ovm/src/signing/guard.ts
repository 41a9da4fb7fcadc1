import { type ErrorCode, OvmError } from "../errors.ts"

/**
 * Runs `read` on one part of what a stranger signed. If it throws, throws `code` with `message`, which says which part
 * it was.
 */
export function guard<T>(code: ErrorCode, message: string, read: () => T): T {
  try {
    return read()
  } catch (cause) {
    const why = cause instanceof Error ? `: ${cause.message}` : ""
    throw new OvmError(code, `${message}${why}`, { cause })
  }
}
