import { digestOf } from "../../../content/digest.ts"
import type { IncomingFile } from "../../../content/interfaces.ts"
import { OvmError, toOvmError } from "../../../errors.ts"
import type { Extent } from "../../../files/extents.ts"
import { timedOut, USUAL } from "../../http/http.ts"
import type { HttpLimits } from "../../http/limits.ts"
import { Transient } from "../../http/retry.ts"
import type { Direct } from "../../transport/transport.ts"
import { isWhole } from "./head.ts"
import type { Outcome } from "./protocol.ts"
import { type Events, moveDirectly } from "./threads.ts"

export interface Question extends Direct {
  readonly extent: Extent
  /** Of the whole blob. */
  readonly size: number
  /** The ETag that earlier pieces had. */
  readonly tag: string | null | undefined
  readonly limits: HttpLimits
}

/**
 * Has a thread fetch one piece of a blob into `file`, and its digest too if the piece is the whole. "refused": nothing
 * came, and whoever asks in the usual way learns why; "unsuitable": the server does not answer as this way needs it.
 * Throws a Transient for what broke off, with what came before written, and OVM_NO_SPACE and the like.
 */
export async function fetchDirectly(
  { url, headers, tls, extent, size, tag, limits }: Question,
  file: IncomingFile,
  events: Events,
  signal: AbortSignal,
): Promise<"done" | "refused" | "unsuitable"> {
  const request = requestFor(url, { ...USUAL, ...headers, ...rangeOf(extent, size) })
  if (!request) return "refused"
  const { responseMs, stallMs, rateMs, slowestDownload } = limits
  const patience = { responseMs, stallMs, rateMs, slowestDownload }
  const host = url.hostname.replace(/^\[|\]$/g, "")
  const endpoint = {
    host,
    port: Number(url.port || (tls ? 443 : 80)),
    ...(tls && { tls, trust: trustOf(tls) }),
  }
  const job = { endpoint, request, extent, size, tag, fd: file.fd, limits: patience }
  const outcome = await moveDirectly(job, events, signal)
  return outcome ? resultOf(outcome, url, file, signal) : "refused"
}

const named = new WeakMap<object, string>()

/** A name of it that whatever differs in anything has not: made once, and not for each piece. */
function trustOf(tls: NonNullable<Direct["tls"]>): string {
  const name = named.get(tls) ?? digestOf(Buffer.from(JSON.stringify(tls)))
  named.set(tls, name)
  return name
}

function resultOf(outcome: Outcome, url: URL, file: IncomingFile, signal: AbortSignal) {
  switch (outcome.kind) {
    case "done":
      if (outcome.digest !== undefined) file.hashed(outcome.digest)
      return "done"
    case "refused":
      return outcome.status !== undefined && outcome.status < 400 ? "unsuitable" : "refused"
    case "stalled":
      throw timedOut(url, outcome.reason)
    case "broken":
      throw new Transient(new OvmError("OVM_REGISTRY_UNREACHABLE", `${url.host}: ${outcome.reason}`))
    case "cancelled":
      throw signal.reason
    case "failed":
      throw toOvmError(Object.assign(new Error(outcome.message), { code: outcome.code, path: file.path }))
  }
}

function rangeOf(extent: Extent, size: number): Record<string, string> {
  return isWhole({ extent, size }) ? {} : { Range: `bytes=${extent.start}-${extent.end - 1}` }
}

/** The text of a GET; undefined if a header could be taken for more than one. */
function requestFor(url: URL, headers: Readonly<Record<string, string>>): string | undefined {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`)
  const text = [`GET ${url.pathname}${url.search} HTTP/1.1`, `Host: ${url.host}`, ...lines]
  return text.every((line) => /^[\x20-\x7e]+$/.test(line)) ? `${text.join("\r\n")}\r\n\r\n` : undefined
}
