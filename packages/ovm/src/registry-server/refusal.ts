import { type ErrorCode, type OvmError, toOvmError } from "../errors.ts"

/** The error codes of the standard, all 14 (distribution-spec: spec.md, "Error Codes"). */
export type RegistryCode =
  | "BLOB_UNKNOWN"
  | "BLOB_UPLOAD_INVALID"
  | "BLOB_UPLOAD_UNKNOWN"
  | "DIGEST_INVALID"
  | "MANIFEST_BLOB_UNKNOWN"
  | "MANIFEST_INVALID"
  | "MANIFEST_UNKNOWN"
  | "NAME_INVALID"
  | "NAME_UNKNOWN"
  | "SIZE_INVALID"
  | "UNAUTHORIZED"
  | "DENIED"
  | "UNSUPPORTED"
  | "TOOMANYREQUESTS"

export interface RefusalOptions {
  readonly detail?: unknown
  readonly headers?: Readonly<Record<string, string>>
}

/**
 * A request answered with an error. It never leaves this folder as an exception: clients get it in the standard's
 * shape.
 */
export class Refusal extends Error {
  constructor(
    readonly status: number,
    readonly code: RegistryCode,
    message: string,
    readonly options: RefusalOptions = {},
  ) {
    super(message)
  }

  answer(): Response {
    return errorAnswer(this.status, this.code, this.message, this.options)
  }
}

/** What a client is told of an error of the storage. Its message may have paths of this host, so it stays here. */
const STORAGE: Partial<Record<ErrorCode, readonly [status: number, code: string, message: string]>> = {
  OVM_DIGEST_MISMATCH: [400, "DIGEST_INVALID", "the content does not have that digest"],
  OVM_CONTENT_MISSING: [404, "BLOB_UPLOAD_UNKNOWN", "the upload has ended"],
  OVM_INTERRUPTED: [
    409,
    "BLOB_UPLOAD_INVALID",
    "the connection broke, or a newer request took the upload over",
  ],
  OVM_TOO_LARGE: [
    413,
    "SIZE_INVALID",
    "this client has more in unfinished uploads than it may: ovm registry serve --upload-quota",
  ],
  OVM_TOO_MANY: [429, "TOOMANYREQUESTS", "too many uploads are open"],
  OVM_NO_SPACE: [507, "OVM_NO_SPACE", "the registry's disk is full"],
}

const HEADERS: Readonly<Record<number, Readonly<Record<string, string>>>> = {
  // What the client still sends is not to be read.
  413: { Connection: "close" },
  429: { "Retry-After": "10" },
}

/** The answer to what a handler threw. `log` is told of faults of this host, which the client learns nothing about. */
export function answerTo(thrown: unknown, log: (error: OvmError) => void): Response {
  if (thrown instanceof Refusal) return thrown.answer()
  const error = toOvmError(thrown)
  const [status, code, message] = STORAGE[error.code] ?? [500, "OVM_INTERNAL", "the registry failed"]
  if (status >= 500) log(error)
  return errorAnswer(status, code, message, {})
}

function errorAnswer(status: number, code: string, message: string, options: RefusalOptions): Response {
  const { detail } = options
  const headers = { ...HEADERS[status], ...options.headers }
  return Response.json(
    { errors: [{ code, message, ...(detail !== undefined && { detail }) }] },
    { status, headers },
  )
}

export function unknownBlob(digest: string): Refusal {
  return new Refusal(404, "BLOB_UNKNOWN", `there is no blob ${digest} in this repository`, {
    detail: { digest },
  })
}

export function unknownManifest(reference: string): Refusal {
  return new Refusal(404, "MANIFEST_UNKNOWN", `there is no manifest ${reference} in this repository`, {
    detail: { reference },
  })
}

export function unknownRepository(repository: string): Refusal {
  return new Refusal(404, "NAME_UNKNOWN", `there is no repository ${repository}`, { detail: { repository } })
}
