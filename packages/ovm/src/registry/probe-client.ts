import { randomBytes } from "node:crypto"
import type { Descriptor } from "../content/descriptor.ts"
import { digestOf } from "../content/digest.ts"
import type { Call } from "../content/interfaces.ts"
import { isManifest } from "../content/manifest.ts"
import { readAll } from "../content/read.ts"
import { toOvmError } from "../errors.ts"
import { isObject } from "../objects.ts"
import { bytesBody, readBody } from "./http/http.ts"
import { Transient } from "./http/retry.ts"
import { locationOf } from "./transfer/upload-session.ts"
import type { RegistryRequest } from "./transport/request.ts"
import type { Transport } from "./transport/transport.ts"

/** One thing that a registry does or does not. */
export interface ProbeFinding {
  readonly feature: string
  readonly works: boolean
  /** In words: what it answered. */
  readonly answer: string
  /** What ovm does about it. */
  readonly consequence: string
}

/** An answer of any status. */
interface Plain {
  readonly status: number
  readonly headers: Headers
  readonly bytes: Buffer
  readonly url: URL | undefined
}

export interface Pushed {
  readonly target: Descriptor
  readonly bytes: Buffer
  readonly status: number
  readonly headers: Headers
}

const LIMIT = 8 * 1024 * 1024
const DELETE_MS = 10_000

/** Plain requests in one repository, whose refusals are answers and not errors; it remembers what it has to remove. */
export class ProbeClient {
  readonly #base: string
  readonly #tag = `ovm-probe-${randomBytes(6).toString("hex")}`
  readonly #made: Descriptor[] = []
  #tagged = false
  readonly left: string[] = []

  constructor(
    private readonly transport: Transport,
    private readonly repository: string,
    private readonly call: Call,
  ) {
    this.#base = `/v2/${repository}`
  }

  get(path: string, headers: Record<string, string> = {}): Promise<Plain> {
    return this.#ask({ method: "GET", url: `${this.#base}/${path}`, headers })
  }

  /** In one piece. Throws what refuses it: without this there is nothing to find out. */
  async upload(bytes: Buffer, mediaType = "application/octet-stream"): Promise<Descriptor> {
    const target = { mediaType, digest: digestOf(bytes), size: bytes.byteLength }
    const url = await this.#begin()
    const request = this.#request({ method: "PUT", url: withDigest(url, target), body: bytesBody(bytes) })
    const { response } = await this.transport.send(request)
    await response.body?.cancel()
    this.#made.push(target)
    return target
  }

  /**
   * In two chunks, or in one if the registry wants larger ones than this. Returns the status at the end or at the first
   * refusal.
   */
  async uploadInChunks(bytes: Buffer): Promise<{ status: number; least: number | undefined }> {
    const target = { mediaType: "application/octet-stream", digest: digestOf(bytes), size: bytes.byteLength }
    const begun = await this.#beginning()
    const minimum = begun.headers.get("oci-chunk-min-length")
    const least = minimum !== null && /^\d{1,12}$/.test(minimum) ? Number(minimum) : undefined
    const half = least === undefined || least <= 8 ? 8 : bytes.byteLength
    let url = this.#locationIn(begun)
    for (const [from, to] of [
      [0, half],
      [half, bytes.byteLength],
    ] as const) {
      if (from === to) continue
      const headers = {
        "Content-Type": "application/octet-stream",
        "Content-Range": `${from}-${to - 1}`,
      }
      const sent = await this.#ask({
        method: "PATCH",
        url,
        headers,
        body: bytesBody(bytes.subarray(from, to)),
      })
      if (sent.status >= 300) return { status: sent.status, least }
      url = sent.headers.has("location") ? this.#locationIn(sent) : url
    }
    const { status } = await this.#ask({ method: "PUT", url: withDigest(url, target), body: bytesBody("") })
    if (status < 300) this.#made.push(target)
    return { status, least }
  }

  async mount({ digest }: Descriptor): Promise<number> {
    const query = new URLSearchParams({ mount: digest, from: this.repository })
    const url = `${this.#base}/blobs/uploads/?${query}`
    const answer = await this.#ask({ method: "POST", url, headers: { "Content-Length": "0" } })
    // It could not, and has begun an upload instead.
    if (answer.status === 202) await this.#ask({ method: "DELETE", url: this.#locationIn(answer) })
    return answer.status
  }

  async put(text: string, mediaType: string, { tagged = false } = {}): Promise<Pushed> {
    const bytes = Buffer.from(text)
    const target = { mediaType, digest: digestOf(bytes), size: bytes.byteLength }
    const url = `${this.#base}/manifests/${tagged ? this.#tag : target.digest}`
    const headers = { "Content-Type": mediaType }
    const answer = await this.#ask({ method: "PUT", url, headers, body: bytesBody(bytes) })
    if (answer.status < 300) {
      this.#made.push(target)
      this.#tagged ||= tagged
    }
    return { target, bytes, status: answer.status, headers: answer.headers }
  }

  /**
   * Removes everything again, the last first, and says whether that can be done at all. Also after a cancelled probe;
   * never throws.
   */
  async remove(): Promise<ProbeFinding> {
    const refused = new Map<string, number>()
    const attempt = async (kind: "tags" | "manifests" | "blobs", path: string) => {
      const status = await this.#delete(path)
      // 404: gone with what it belonged to.
      if ((status >= 300 && status !== 404) || status === 0) refused.set(kind, status)
      return !refused.has(kind) || (status > 0 && status < 300) || status === 404
    }
    if (this.#tagged) await attempt("tags", `manifests/${this.#tag}`)
    for (const target of this.#made.toReversed()) {
      const kind = isManifest(target) ? "manifests" : "blobs"
      if (!(await attempt(kind, `${kind}/${target.digest}`)))
        this.left.push(`${this.repository}@${target.digest}`)
    }
    const not = [...refused].map(([kind, status]) => `${kind} (${status || "no answer"})`)
    return {
      feature: "deletion",
      works: this.left.length === 0,
      answer: not.length === 0 ? "yes" : `not of ${not.join(", ")}`,
      consequence: this.left.length === 0 ? "" : "what is to go is for the registry's administrator",
    }
  }

  /** The status; 0 if there was none. */
  async #delete(path: string): Promise<number> {
    const scope = `repository:${this.repository}:delete,pull,push`
    const signal = AbortSignal.timeout(DELETE_MS)
    try {
      return (await this.#ask({ method: "DELETE", url: `${this.#base}/${path}`, scope, signal })).status
    } catch {
      return 0
    }
  }

  async #begin(): Promise<URL> {
    return this.#locationIn(await this.#beginning())
  }

  async #beginning(): Promise<Plain> {
    const url = `${this.#base}/blobs/uploads/`
    const request = this.#request({ method: "POST", url, headers: { "Content-Length": "0" } })
    const answer = await this.transport.send(request)
    await answer.response.body?.cancel()
    return { status: 202, headers: answer.response.headers, bytes: Buffer.alloc(0), url: answer.url }
  }

  #locationIn({ headers, url }: Plain): URL {
    const response = new Response(null, { headers })
    return locationOf(response, url ?? new URL("http://invalid.invalid"), this.transport.host, "probe")
  }

  #request(request: Pick<RegistryRequest, "method" | "url"> & Partial<RegistryRequest>): RegistryRequest {
    const scope = `repository:${this.repository}:pull,push`
    const what = `probe of ${this.repository}`
    return { scope, what, ...(this.call.signal && { signal: this.call.signal }), ...request }
  }

  async #ask(request: Pick<RegistryRequest, "method" | "url"> & Partial<RegistryRequest>): Promise<Plain> {
    try {
      const answer = await this.transport.exchange(this.#request(request))
      const { response, url } = answer
      const body = readBody(answer, this.transport.limits, this.call)
      const bytes = Buffer.from(await readAll(body, LIMIT, "the answer to a probe"))
      return { status: response.status, headers: response.headers, bytes, url }
    } catch (thrown) {
      const error = thrown instanceof Transient ? thrown.error : toOvmError(thrown)
      const status = isObject(error.detail) ? error.detail.status : undefined
      if (typeof status !== "number") throw error
      return { status, headers: new Headers(), bytes: Buffer.alloc(0), url: undefined }
    }
  }
}

function withDigest(location: URL, { digest }: Descriptor): URL {
  const url = new URL(location)
  url.search += `${url.search ? "&" : "?"}digest=${encodeURIComponent(digest)}`
  return url
}
