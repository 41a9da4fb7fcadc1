import { codes } from "./generated/codes.ts"
import type { ErrorClass, ErrorCode, ErrorEntry } from "./wire.ts"

/** The only error that this package throws, but for an abort, which is thrown as its signal's reason. */
export class ApiError extends Error {
  override readonly name = "ApiError"
  /** Particulars for programs (spec/errors.md). */
  readonly detail: unknown
  /** HTTP status of the answer; undefined if there was none. */
  readonly status: number | undefined

  constructor(
    readonly code: ErrorCode,
    message: string,
    options: { readonly cause?: unknown; readonly detail?: unknown; readonly status?: number } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.detail = options.detail
    this.status = options.status
  }

  /** What it is about, and whether trying again makes sense (spec/errors.json). */
  get class(): ErrorClass {
    return codes[this.code]
  }
}

/** What an answer of 400 or above says; OVM_INTERNAL for a body that is not as spec/errors.md has it. */
export function errorOf(status: number, text: string, path: string): ApiError {
  const first = firstEntry(text)
  if (!first || !Object.hasOwn(codes, String(first.code)))
    return new ApiError(
      "OVM_INTERNAL",
      `the daemon answered ${path} with status ${status} and no known error`,
      { status },
    )
  return new ApiError(first.code as ErrorCode, String(first.message), { detail: first.detail, status })
}

function firstEntry(text: string): Partial<Record<keyof ErrorEntry, unknown>> | undefined {
  try {
    return (JSON.parse(text) as { errors?: Partial<Record<keyof ErrorEntry, unknown>>[] } | null)?.errors?.[0]
  } catch {
    return undefined
  }
}
