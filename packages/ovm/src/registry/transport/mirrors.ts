import { toOvmError } from "../../errors.ts"
import type { Answer } from "../http/http.ts"
import { Transient } from "../http/retry.ts"
import type { Exchanger, RegistryRequest } from "./request.ts"

/** A mirror as a transport uses it. */
export interface MirrorTransport {
  readonly transport: Exchanger
  readonly prefix?: string
  /** Whether it is asked for tags. */
  readonly resolve: boolean
}

const BY_DIGEST = /^\/v2\/(.+)\/(?:blobs|manifests)\/(sha256:[0-9a-f]{64})$/
const BY_TAG = /^\/v2\/(.+)\/manifests\/[^/:]+$/

/**
 * A mirror that was asked for one thing so many times is not asked for it again: its answers were no use, since they
 * broke off.
 */
const TIMES = 3

/**
 * Asks mirrors, in order, before the registry itself. What they send is named by a digest and checked against it, so a
 * mirror can be slow or broken but not wrong; its credentials are those of its own host.
 */
export class MirrorChoice {
  readonly #asked = new Map<string, number>()
  readonly #served = new Map<string, Set<string>>()
  readonly #wrong = new Set<string>()

  constructor(
    private readonly mirrors: readonly MirrorTransport[],
    private readonly onFailure: (text: string) => void,
  ) {}

  get any(): boolean {
    return this.mirrors.length > 0
  }

  /** The answer of the first mirror that has it; undefined if the registry itself is to be asked. */
  async answer(request: RegistryRequest): Promise<Answer | undefined> {
    if (this.mirrors.length === 0 || (request.method !== "GET" && request.method !== "HEAD")) return undefined
    const path = String(request.url)
    for (const mirror of this.mirrors) {
      const [, repository, digest] = BY_DIGEST.exec(path) ?? (mirror.resolve ? (BY_TAG.exec(path) ?? []) : [])
      const { host } = mirror.transport
      if (repository === undefined || this.#wrong.has(`${host} ${digest}`)) continue
      const key = [host, request.method, path, request.headers?.Range].join(" ")
      const times = this.#asked.get(key) ?? 0
      this.#asked.set(key, times + 1)
      if (times >= TIMES) continue
      const answer = await this.#ask(mirror, request, repository)
      if (!answer) continue
      if (digest !== undefined) this.#served.set(digest, (this.#served.get(digest) ?? new Set()).add(host))
      return answer
    }
    return undefined
  }

  /**
   * Tells that what came for `digest` was something else: the mirrors that sent of it are not asked for it again. False
   * if there were none, so that asking again would bring the same.
   */
  blame(digest: string): boolean {
    const hosts = this.#served.get(digest)
    this.#served.delete(digest)
    for (const host of hosts ?? []) {
      this.#wrong.add(`${host} ${digest}`)
      this.onFailure(`mirror ${host}: what it sent for ${digest} is something else`)
    }
    return hosts !== undefined
  }

  async #ask(
    { transport, prefix }: MirrorTransport,
    request: RegistryRequest,
    repository: string,
  ): Promise<Answer | undefined> {
    const there = prefix === undefined ? repository : `${prefix}/${repository}`
    const path = `/v2/${there}${String(request.url).slice("/v2/".length + repository.length)}`
    try {
      const { response, url } = await transport.exchange({
        ...request,
        url: path,
        scope: `repository:${there}:pull`,
      })
      // Unless it sent us on, as if it had been asked for the path itself: what comes next shall be asked of mirrors
      // too.
      const direct = url.pathname === path ? new URL(String(request.url), url) : url
      return { response, url: direct }
    } catch (thrown) {
      request.signal?.throwIfAborted()
      const error = thrown instanceof Transient ? thrown.error : toOvmError(thrown)
      // That a mirror does not have everything is usual.
      if (error.code !== request.absent)
        this.onFailure(`mirror ${transport.host}: ${error.code}: ${error.message}`)
      return undefined
    }
  }
}
