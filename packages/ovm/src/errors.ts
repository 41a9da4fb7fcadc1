import { dirname } from "node:path"
import table from "@ovms/spec/errors.json" with { type: "json" }
import { fullness } from "./files/full.ts"

/** The closed list of error codes (spec/errors.md). */
export type ErrorCode = keyof typeof table.codes
/** What an error is about, of a closed list as well. */
export type ErrorClass = keyof typeof table.classes

export interface ErrorOptions {
  cause?: unknown
  /** Machine-readable particulars: what an API answer carries as `detail`. Never a credential. */
  detail?: unknown
  /** The next thing to try, as one sentence or a command line. */
  hint?: string
}

/** The only error class that leaves a module. `message` names the thing and the reason, without the code. */
export class OvmError extends Error {
  override readonly name = "OvmError"
  readonly detail: unknown
  readonly hint: string | undefined

  constructor(
    readonly code: ErrorCode,
    message: string,
    options: ErrorOptions = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.detail = options.detail
    this.hint = options.hint
  }

  get class(): ErrorClass {
    return table.codes[this.code].class as ErrorClass
  }

  /** HTTP status of an API answer that carries this error; 500 for codes that should not travel. */
  get httpStatus(): number {
    return table.codes[this.code].http || 500
  }

  /** Exit status of the command line (spec/errors.md). */
  get exitStatus(): number {
    return table.codes[this.code].exit
  }
}

/** True if `code` is on the closed list: used on what another process sent. */
export function isErrorCode(code: unknown): code is ErrorCode {
  return typeof code === "string" && Object.hasOwn(table.codes, code)
}

/** True for a registry's trouble: it could not be reached, refused, or failed. */
export function ofRegistry(thrown: unknown): thrown is OvmError {
  return thrown instanceof OvmError && thrown.class === "registry"
}

const SYSTEM: Record<string, readonly [code: ErrorCode, reason: string]> = {
  ENOSPC: ["OVM_NO_SPACE", "no space left on device"],
  EDQUOT: ["OVM_NO_SPACE", "disk quota exceeded"],
  EFBIG: ["OVM_NO_SPACE", "file too large for its file system, or for what a process may write (ulimit -f)"],
  EIO: ["OVM_HOST_FAILED", "input/output error"],
  ENOMEM: ["OVM_HOST_FAILED", "out of memory"],
  EMFILE: ["OVM_HOST_FAILED", "too many open files"],
  ENFILE: ["OVM_HOST_FAILED", "too many open files on this host"],
  EACCES: ["OVM_PERMISSION_DENIED", "permission denied"],
  EPERM: ["OVM_PERMISSION_DENIED", "operation not permitted"],
  EROFS: ["OVM_PERMISSION_DENIED", "read-only file system"],
  ENOENT: ["OVM_FILE_UNREADABLE", "no such file or directory"],
  EISDIR: ["OVM_FILE_UNREADABLE", "is a directory"],
  ERR_FS_EISDIR: ["OVM_FILE_UNREADABLE", "is a directory"],
  ENOTDIR: ["OVM_FILE_UNREADABLE", "not a directory"],
  ENAMETOOLONG: ["OVM_FILE_UNREADABLE", "the name is too long"],
  ELOOP: ["OVM_FILE_UNREADABLE", "too many levels of symbolic links"],
  ENXIO: ["OVM_FILE_UNREADABLE", "it is a socket, or a device that is not there"],
}

/**
 * Turns anything thrown into an OvmError. System errors keep their reason, an abort becomes OVM_INTERRUPTED,
 * the rest is OVM_INTERNAL with the original as `cause`.
 */
export function toOvmError(thrown: unknown): OvmError {
  if (thrown instanceof OvmError) return thrown
  // Something failed, and so did letting go of what it had: the first is the reason.
  if (thrown instanceof SuppressedError) return toOvmError(thrown.suppressed)
  if (!(thrown instanceof Error)) return new OvmError("OVM_INTERNAL", String(thrown))
  if (thrown.name === "AbortError") return new OvmError("OVM_INTERRUPTED", "interrupted", { cause: thrown })
  const { code, path } = thrown as NodeJS.ErrnoException
  const known = code === undefined ? undefined : SYSTEM[code]
  if (known) {
    const [ours, said] = known
    const reason = (code === "ENOSPC" && path && fullness(dirname(path))) || said
    return new OvmError(ours, path ? `${path}: ${reason}` : thrown.message, { cause: thrown })
  }
  return new OvmError("OVM_INTERNAL", thrown.message || thrown.name, { cause: thrown })
}
