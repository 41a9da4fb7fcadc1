import type { Bytes, Call } from "../../content/interfaces.ts"
import { readAll } from "../../content/read.ts"
import { OvmError } from "../../errors.ts"
import { isLoopback } from "./address.ts"
import type { HttpLimits } from "./limits.ts"
import { Transient } from "./retry.ts"
import { Watch } from "./watch.ts"

// All that is Bun's own about HTTP is in this file: `decompress` (bytes must arrive as they were digested), a fetch
// without a time-out of its own, and files as bodies.

/** Headers of every request. */
export const USUAL = { "User-Agent": "ovm", "Accept-Encoding": "identity" }

type Init = BunFetchRequestInit & { timeout: false }

/** What is sent. */
export interface Body {
  readonly size: number
  /** False for content that can be sent once only. */
  readonly replayable: boolean
  /** A part of it, where it can be sent in parts. */
  slice?(start: number, end: number): Body
  /** `near`: the receiver is on this host. */
  open(near: boolean): NonNullable<BunFetchRequestInit["body"]>
}

export function bytesBody(bytes: Uint8Array | string): Body {
  const buffer = Buffer.from(bytes)
  return {
    size: buffer.byteLength,
    replayable: true,
    open: () => buffer,
    slice: (start, end) => bytesBody(buffer.subarray(start, end)),
  }
}

/**
 * A file is sent by the kernel (sendfile). Not to a receiver on this host, which would have to fetch every byte out of
 * memory then: what was read just before is still in the cache, and a registry takes a fifth less time for it
 * (docs/design/0011-transfer.md).
 */
export function fileBody(path: string, size: number, from = 0): Body {
  const whole = () => Bun.file(path)
  const part = () => (from === 0 && size === whole().size ? whole() : whole().slice(from, from + size))
  return {
    size,
    replayable: true,
    open: (near) => (near ? part().stream() : part()),
    slice: (start, end) => fileBody(path, end - start, from + start),
  }
}

export function streamBody(content: Bytes, size: number): Body {
  return { size, replayable: false, open: () => content }
}

/** How to connect, where it is not as usual. */
export interface Connection {
  /** The registry that it is for, as settings call it, and the file that authorities were added from: for messages. */
  readonly registry?: string
  readonly caFile?: string
  readonly tls?: { readonly ca?: readonly string[]; readonly cert?: string; readonly key?: string }
  readonly proxy?: string
}

export interface RoundTrip extends Call {
  readonly connection?: Connection
  readonly method: string
  readonly url: URL
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: Body | undefined
  readonly limits: HttpLimits
}

/**
 * One request and the head of its answer, whatever its status; redirects are not followed. No answer in time or a
 * broken connection is a Transient with OVM_REGISTRY_TIMEOUT or OVM_REGISTRY_UNREACHABLE. What the body's source throws
 * comes out.
 */
export async function roundTrip(request: RoundTrip): Promise<Response> {
  const { url, limits, body, signal, connection } = request
  const deadline = new AbortController()
  const allowed = limits.responseMs + ((body?.size ?? 0) / limits.slowestUpload) * 1000
  const timer = setTimeout(() => deadline.abort(), allowed)
  const init: Init = {
    method: request.method,
    redirect: "manual",
    signal: signal ? AbortSignal.any([signal, deadline.signal]) : deadline.signal,
    headers: {
      ...USUAL,
      ...(body && { "Content-Length": String(body.size) }),
      ...request.headers,
    },
    ...(body && { body: body.open(isLoopback(url.host)) }),
    ...(connection?.tls && { tls: tlsInit(connection.tls) }),
    ...(connection?.proxy !== undefined && { proxy: connection.proxy }),
    decompress: false,
    timeout: false,
  }
  try {
    return await fetchPastProxies(url, init)
  } catch (error) {
    signal?.throwIfAborted()
    if (deadline.signal.aborted) throw timedOut(url, `no answer within ${Math.round(allowed)} ms`)
    throw isConnection(error) ? unreachable(url, error, connection) : error
  } finally {
    clearTimeout(timer)
  }
}

function tlsInit({ ca, cert, key }: NonNullable<Connection["tls"]>): NonNullable<Init["tls"]> {
  return {
    ...(ca && { ca: [...ca] }),
    ...(cert !== undefined && { cert }),
    ...(key !== undefined && { key }),
  }
}

const VARIABLES = ["no_proxy", "NO_PROXY"] as const

/**
 * Bun's fetch obeys HTTP_PROXY, HTTPS_PROXY and NO_PROXY by itself, for addresses of this host too. Go's programs, and
 * what people expect, leave those out, and the environment is the only way to tell it. It is read when the call begins;
 * after that the environment is again what it was, for the programs that we start.
 */
function fetchPastProxies(url: URL, init: Init): Promise<Response> {
  const before = VARIABLES.map((name) => process.env[name])
  const given = before.find((value) => value !== undefined)
  const list = [given, "localhost", "127.0.0.0/8", "::1"].filter(Boolean).join(",")
  for (const name of VARIABLES) process.env[name] = list
  try {
    return fetch(url, init)
  } finally {
    for (const [at, name] of VARIABLES.entries()) {
      const value = before[at]
      if (value === undefined) delete process.env[name]
      else process.env[name] = value
    }
  }
}

/** True if `fetch` may ask a proxy of the environment for `url`; whether NO_PROXY says otherwise is its own affair. */
export function isProxied({ hostname, protocol }: URL): boolean {
  const name = protocol === "https:" ? "https_proxy" : "http_proxy"
  const proxies = [process.env[name], process.env[name.toUpperCase()]]
  return proxies.some(Boolean) && !isLoopback(hostname)
}

export interface Answer {
  readonly response: Response
  /** Where it came from, after redirects. */
  readonly url: URL
}

/** The body of an answer as it comes. A break, a stall or a trickle is a Transient, as above. */
export async function* readBody({ response, url }: Answer, limits: HttpLimits, call: Call = {}): Bytes {
  const reader = response.body?.getReader()
  if (!reader) return
  using watch = new Watch(limits, () => void reader.cancel().catch(() => {}))
  try {
    while (true) {
      const { done, value } = await watch.over(reader.read())
      if (watch.verdict !== undefined) throw timedOut(url, watch.verdict)
      if (done) return
      watch.came(value.byteLength)
      yield value
    }
  } catch (error) {
    call.signal?.throwIfAborted()
    throw isConnection(error) ? unreachable(url, error) : error
  } finally {
    // Closes the connection unless the body came to its end.
    await reader.cancel().catch(() => {})
  }
}

/** A small body as text. Throws OVM_TOO_LARGE above `limit` bytes. */
export async function readText(
  answer: Answer,
  limits: HttpLimits,
  limit: number,
  call: Call = {},
): Promise<string> {
  const body = readBody(answer, limits, call)
  return new TextDecoder().decode(await readAll(body, limit, `the answer of ${answer.url.host}`))
}

/** Ends an exchange whose body nobody wants. */
export async function discard(response: Response): Promise<void> {
  await response.body?.cancel().catch(() => {})
}

/** Errors of the network and of TLS are TypeErrors with a code; other errors come from the body that was sent. */
function isConnection(error: unknown): error is TypeError & { code: string } {
  return error instanceof TypeError && "code" in error && typeof error.code === "string"
}

function unreachable(url: URL, error: TypeError & { code: string }, connection: Connection = {}): Error {
  const { reason, hint } = explained(url, error.code, connection)
  const failure = new OvmError("OVM_REGISTRY_UNREACHABLE", `${url.host}: ${reason}`, { cause: error, hint })
  // A certificate that is not trusted now will not be in a second.
  return /CERT|SIGNATURE|TLS|SSL|EPROTO/i.test(error.code) ? failure : new Transient(failure)
}

const UNKNOWN =
  /^(UNABLE_TO_(VERIFY_LEAF_SIGNATURE|GET_ISSUER_CERT.*)|(DEPTH_ZERO_)?SELF_SIGNED_CERT.*|CERT_UNTRUSTED)$/

/** What a code of the network or of TLS means, and what to do about it. */
function explained(url: URL, code: string, { registry = url.host, caFile }: Connection) {
  const settings = `for ${registry} in registries.json`
  if (UNKNOWN.test(code)) {
    const nor = caFile === undefined ? "" : `, nor by one in ${caFile}`
    return {
      reason: `its certificate is by no authority that is trusted here${nor} (${code})`,
      hint: `"ca": "FILE.pem" ${settings}, with the certificate of the authority`,
    }
  }
  if (/ALTNAME|HOSTNAME/.test(code))
    return {
      reason: `its certificate is for another name (${code})`,
      hint: "use the name that the certificate is for",
    }
  if (/CERT_(HAS_EXPIRED|NOT_YET_VALID)/.test(code))
    return { reason: `its certificate is not valid now (${code})`, hint: "check the clocks on both sides" }
  if (code === "EPROTO")
    return {
      reason: `it speaks no TLS (${code})`,
      hint: `if it is to be spoken to without: --plain-http, or "plainHttp": true ${settings}`,
    }
  return { reason: code, hint: `check that ${url.host} is the registry's name and that it can be reached` }
}

export function timedOut(url: URL, reason: string): Transient {
  return new Transient(new OvmError("OVM_REGISTRY_TIMEOUT", `${url.host}: ${reason}`))
}
