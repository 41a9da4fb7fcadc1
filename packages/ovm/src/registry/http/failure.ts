import { type ErrorCode, OvmError } from "../../errors.ts"
import { isObject } from "../../objects.ts"
import type { Credential } from "../auth/credentials.ts"
import { readText } from "./http.ts"
import type { HttpLimits } from "./limits.ts"
import { parseRetryAfter, Transient } from "./retry.ts"

const BODY_LIMIT = 64 * 1024

/** Error codes of the distribution-spec that say more than the status (spec.md, "Error Codes"). */
const CODES: Record<string, ErrorCode> = {
  BLOB_UNKNOWN: "OVM_CONTENT_MISSING",
  MANIFEST_BLOB_UNKNOWN: "OVM_CONTENT_MISSING",
  DIGEST_INVALID: "OVM_DIGEST_MISMATCH",
  SIZE_INVALID: "OVM_SIZE_MISMATCH",
}

export interface Failed {
  readonly response: Response
  readonly url: URL
  /** The registry's host, for the hint. */
  readonly host: string
  /** What was asked for, for the message. */
  readonly what: string
  /** What a 404 means here. */
  readonly absent: ErrorCode
  readonly limits: HttpLimits
  /** What was asked with. */
  readonly credential?: Credential | undefined
}

/** The error, or the Transient, that an answer of another status than 2xx means. */
export async function failure(failed: Failed): Promise<Error> {
  const { response, host, what } = failed
  const { status } = response
  const reported = await reportedBy(failed)
  const answer = `${host}: ${what}: ${status}${reported.map((e) => ` ${e.code}: ${e.message}`).join(";")}`
  const { origin, scope = host } = failed.credential ?? {}
  const refused = (status === 401 || status === 403) && origin !== undefined
  const message = refused ? `${answer}; it was asked with the credentials of ${origin}` : answer
  const detail = { status, errors: reported }
  const make = (code: ErrorCode, hint?: string) =>
    new OvmError(code, message, { detail, ...(hint && { hint }) })

  const anew = refused ? `ovm login ${scope} anew, or ovm logout ${scope}` : undefined
  if (status === 401) return make("OVM_REGISTRY_UNAUTHORIZED", anew ?? `ovm login ${host}`)
  if (status === 403) return make("OVM_REGISTRY_DENIED", anew ?? `ovm login ${host} as somebody who may`)
  if (status === 404)
    return make(failed.absent, failed.absent === "OVM_NAME_UNKNOWN" ? misnamed(failed) : undefined)
  if (status === 413) return make("OVM_TOO_LARGE")
  const pause = parseRetryAfter(response.headers.get("retry-after"))
  if (status === 429) return new Transient(make("OVM_REGISTRY_THROTTLED", "try again later"), pause)
  if (status === 408 || status >= 500) return new Transient(make("OVM_REGISTRY_FAILED"), pause)
  const known = status === 400 ? reported.map(({ code }) => CODES[code]).find(Boolean) : undefined
  return make(known ?? "OVM_REGISTRY_FAILED")
}

/** The hint for an answer that many registries also give for what they do not show to everybody. */
function misnamed({ host, credential }: Failed): string {
  const spelling = "look whether repository and tag are written as they are there"
  return credential?.origin === undefined ? `${spelling}; if it is private: ovm login ${host}` : spelling
}

/** What the body says in the shape of the distribution-spec, cut to what fits a message; nothing if it says nothing. */
async function reportedBy({
  limits,
  credential,
  ...answer
}: Failed): Promise<{ code: string; message: string }[]> {
  try {
    const body: unknown = JSON.parse(await readText(answer, limits, BODY_LIMIT))
    if (!isObject(body) || !Array.isArray(body.errors)) return []
    return body.errors.slice(0, 3).map((error) => ({
      code: plain(hiding(error?.code, credential)),
      message: plain(hiding(error?.message, credential)),
    }))
  } catch {
    // An error page that cannot be read does not hide the status.
    return []
  }
}

/** A registry may say again what it was told: without the secrets of that. */
function hiding(value: unknown, credential: Credential | undefined): unknown {
  if (typeof value !== "string" || credential === undefined) return value
  const { username = "", password = "", identityToken = "" } = credential as Partial<Record<string, string>>
  const both = Buffer.from(`${username}:${password}`).toString("base64")
  const secrets = [both, password, identityToken].filter((secret) => secret !== "")
  return secrets.reduce((text, secret) => text.replaceAll(secret, "***"), value)
}

/** Printable, short text: what a registry sends ends up on a terminal. */
function plain(value: unknown): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is removed
  return typeof value === "string" ? value.replace(/[\u0000-\u001f\u007f-\u009f]/g, " ").slice(0, 200) : ""
}
