import { OvmError } from "../../errors.ts"
import { isObject } from "../../objects.ts"
import { Authorizer } from "../auth/auth.ts"
import { ANONYMOUS, type Credential, type Credentials } from "../auth/credentials.ts"
import { isLoopback, isPrivateHost } from "../http/address.ts"
import { failure } from "../http/failure.ts"
import type { Answer } from "../http/http.ts"
import { type Connection, discard, isProxied, roundTrip } from "../http/http.ts"
import { HTTP_LIMITS, type HttpLimits } from "../http/limits.ts"
import { retry, Transient } from "../http/retry.ts"
import { RegistryLanes } from "../transfer/lanes.ts"
import { MirrorChoice, type MirrorTransport } from "./mirrors.ts"
import type { RegistryRequest } from "./request.ts"
import type { TlsFiles } from "./settings.ts"
import { speaksTls } from "./tls-probe.ts"
import { type OnWarning, Warnings } from "./warnings.ts"

const REDIRECTS = 5

export interface TransportOptions {
  /** Who we are; anonymous unless told. */
  readonly credentials?: Credentials
  /** HTTP without TLS. Unless told: for loopback addresses only. */
  readonly plainHttp?: boolean
  readonly limits?: Partial<HttpLimits>
  readonly tls?: TlsFiles
  /** `http://[USER:PASSWORD@]HOST:PORT`. Without it HTTP_PROXY, HTTPS_PROXY and NO_PROXY of the environment count. */
  readonly proxy?: string
  /** Whether a registry elsewhere may send us to private and loopback addresses. */
  readonly allowPrivateRedirects?: boolean
  /** Hosts, with their ports, that get this registry's credentials as its token servers though they are elsewhere. */
  readonly tokenHosts?: readonly string[]
  /** Transfers at a time that this registry takes. */
  readonly maxConcurrency?: number
  /** Shared with other transports to the same registries; its own unless told. */
  readonly lanes?: RegistryLanes
  /** Blobs are uploaded in chunks of so many bytes; in one piece unless told. */
  readonly chunkBytes?: number
  /** Asked before the registry itself for what is named by a digest. */
  readonly mirrors?: readonly MirrorTransport[]
  /** Whether blobs may be fetched by threads of their own; true unless told. */
  readonly direct?: boolean
  readonly onWarning?: OnWarning
}

/** What a connection of one's own has to know. */
export interface Direct {
  readonly url: URL
  readonly headers: Readonly<Record<string, string>>
  /** Where it speaks TLS: whom it trusts, and who it is, where that is not as usual. */
  readonly tls?: NonNullable<Connection["tls"]>
}

/**
 * HTTP to one registry: authorization, redirects, retries, errors. Credentials go to the registry's own origin and to
 * nobody else, wherever it sends us.
 */
export class Transport {
  readonly limits: HttpLimits
  readonly maxConcurrency: number | undefined
  readonly lanes: RegistryLanes
  readonly chunkBytes: number | undefined
  readonly #origin: URL
  readonly #authorizer: Authorizer
  readonly #warnings: Warnings
  readonly #mirrors: MirrorChoice
  readonly #own: Connection
  readonly #foreign: Connection
  readonly #allowPrivate: boolean
  readonly #direct: boolean
  /** That it speaks no TLS, since it is on this host: not known until it has answered. */
  #assumed: boolean
  #secure: Promise<boolean> | undefined
  readonly #indirect = new Set<string>()
  readonly #hosts = new Map<string, Promise<boolean>>()

  constructor(
    readonly host: string,
    options: TransportOptions = {},
  ) {
    this.limits = { ...HTTP_LIMITS, ...options.limits }
    // Docker Hub's API has another name than its images.
    const address = host === "docker.io" ? "registry-1.docker.io" : host
    this.#origin = new URL(`${(options.plainHttp ?? isLoopback(host)) ? "http" : "https"}://${address}`)
    this.maxConcurrency = options.maxConcurrency
    this.lanes = options.lanes ?? new RegistryLanes()
    this.chunkBytes = options.chunkBytes
    this.#assumed = options.plainHttp === undefined && isLoopback(host)
    const { tls, proxy } = options
    const caFile = tls?.caFile
    this.#own = {
      registry: host,
      ...(caFile !== undefined && { caFile }),
      ...(tls && { tls }),
      ...(proxy !== undefined && { proxy }),
    }
    // Who we are is for the registry's own host only; whom we trust is for wherever it sends us.
    this.#foreign = { ...this.#own, ...(tls && { tls: tls.ca ? { ca: tls.ca } : {} }) }
    this.#direct = options.direct ?? true
    this.#allowPrivate = options.allowPrivateRedirects ?? false
    this.#warnings = new Warnings(host, options.onWarning ?? (() => {}))
    this.#mirrors = new MirrorChoice(options.mirrors ?? [], (text) => this.#warnings.add(text))
    this.#authorizer = new Authorizer({
      origin: this.#origin,
      host,
      credentials: options.credentials ?? ANONYMOUS,
      limits: this.limits,
      connectionTo: (url) => this.#connectionTo(url),
      tokenHosts: options.tokenHosts,
      onRefused: (credential) => this.#warnings.add(refusedText(credential)),
    })
  }

  /** The 2xx answer to `request`, tried again while the failure may pass. Throws OvmErrors as in spec/errors.json. */
  send(request: RegistryRequest): Promise<Answer> {
    return retry(this.limits, request, () => this.exchange(request))
  }

  /**
   * The 2xx answer to `request` in one attempt: a failure that may pass is thrown as a Transient. For requests that
   * cannot be repeated alone.
   */
  async exchange(request: RegistryRequest): Promise<Answer> {
    return (await this.#mirrors.answer(request)) ?? (await this.#found(request))
  }

  get hasMirrors(): boolean {
    return this.#mirrors.any
  }

  /** Tells that what came for `digest` was not that. True if a mirror sent it, which is not asked for it again. */
  blame(digest: string): boolean {
    return this.#mirrors.blame(digest)
  }

  /**
   * `request` as it can be sent over a connection of one's own, its credentials included; undefined where that takes
   * more: a proxy, mirrors. Throws as `send`.
   */
  async direct(request: RegistryRequest): Promise<Direct | undefined> {
    const url = this.#resolve(request.url, this.#origin)
    if (!this.#direct || this.hasMirrors || this.#indirect.has(url.origin)) return undefined
    const { proxy, tls = {} } = await this.#connectionTo(url)
    if (proxy !== undefined || isProxied(url)) return undefined
    const authorization = this.#isOwn(url) ? await this.#authorizer.header(request.scope, request) : undefined
    const headers = {
      ...request.headers,
      ...(authorization !== undefined && { Authorization: authorization }),
    }
    return { url, headers, ...(url.protocol === "https:" && { tls }) }
  }

  /** Nothing more is asked of the server at `url` in that way: it does not answer as it needs it. */
  avoidDirect(url: URL): void {
    this.#indirect.add(url.origin)
  }

  /** Passes on the header `Warning` of an answer that did not come through `exchange`. */
  warned(warning: string | null, url: URL): void {
    if (warning !== null && this.#isOwn(url)) this.#warnings.read(new Headers({ warning }))
  }

  async #found(request: RegistryRequest): Promise<Answer> {
    if (!this.#assumed) return this.#exchange(request)
    try {
      return await this.#exchange(request)
    } catch (error) {
      if (!mayBeTls(error) || !(await this.#turnsOutSecure())) throw error
      if (request.body && !request.body.replayable) throw error
      return this.#exchange(request)
    }
  }

  /**
   * Looks whether there is TLS where none was assumed, and speaks it from now on. Nothing secret was sent yet: nobody
   * had asked.
   */
  async #turnsOutSecure(): Promise<boolean> {
    this.#secure ??= speaksTls(this.#origin, this.limits.responseMs)
    const secure = await this.#secure
    if (secure) this.#origin.protocol = "https:"
    return secure
  }

  async #exchange(request: RegistryRequest): Promise<Answer> {
    let url = this.#resolve(request.url, this.#origin)
    for (let hops = 0; ; hops++) {
      const response = await this.#authorized(request, url)
      if (response.ok) return { response, url }
      if (!isRedirect(request, response)) throw await this.#failure(request, response, url)
      if (hops === REDIRECTS) throw this.#broken(`${request.what}: more than ${REDIRECTS} redirects`)
      await discard(response)
      url = this.#resolve(response.headers.get("location") ?? "", url)
    }
  }

  async #authorized(request: RegistryRequest, url: URL): Promise<Response> {
    // Absent for other origins: a redirect or upload location that leads elsewhere is signed by itself or open.
    const authorizer = this.#isOwn(url) ? this.#authorizer : undefined
    const connection = await this.#connectionTo(url)
    let sent: string | undefined
    const go = async () => {
      sent = await authorizer?.header(request.scope, request)
      const response = await roundTrip({
        method: request.method,
        url,
        headers: { ...request.headers, ...(sent && { Authorization: sent }) },
        body: request.body,
        limits: this.limits,
        connection,
        ...(request.signal && { signal: request.signal }),
      })
      if (authorizer) this.#warnings.read(response.headers)
      return response
    }
    let response = await go()
    if (!authorizer) return response
    if (await isMet(response, request, authorizer, sent)) {
      await discard(response)
      response = await go()
    }
    const tell = isRefusal(response) && (await authorizer.withoutCredentials(request.scope, request))
    if (!tell) return response
    const open = await go()
    const helped = open.status < 400
    tell(helped)
    await discard(helped ? response : open)
    return helped ? open : response
  }

  /**
   * How to connect to `url`. Throws OVM_REGISTRY_FAILED where a registry elsewhere sends us into this host's own
   * network.
   */
  async #connectionTo(url: URL): Promise<Connection> {
    if (this.#isOwn(url)) return this.#own
    if (url.hostname === this.#origin.hostname || this.#allowPrivate) return this.#foreign
    if ((await this.#isPrivate(url.hostname)) && !(await this.#isPrivate(this.#origin.hostname)))
      throw new OvmError(
        "OVM_REGISTRY_FAILED",
        `${this.host}: it sent us to ${url.host}, which is an address of this network`,
        { hint: `if that is meant: "allowPrivateRedirects": true for ${this.host} in registries.json` },
      )
    return this.#foreign
  }

  #isOwn(url: URL): boolean {
    return url.origin === this.#origin.origin
  }

  /** Asked once a host: a blob may come from one in hundreds of pieces. */
  #isPrivate(hostname: string): Promise<boolean> {
    const known = this.#hosts.get(hostname) ?? isPrivateHost(hostname)
    this.#hosts.set(hostname, known)
    return known
  }

  /** A URL that the registry gave, made absolute. Throws OVM_REGISTRY_FAILED for one that must not be followed. */
  #resolve(target: string | URL, base: URL): URL {
    if (!URL.canParse(String(target), base.href)) throw this.#broken("it sent a location that is no URL")
    const url = withTls(new URL(target, base), base)
    const where = `it sent us to ${url.protocol}//${url.host}`
    if (url.username || url.password)
      throw this.#broken(`${where} with credentials in the URL, which is not safe to follow`)
    if (url.protocol === "https:" || (url.protocol === "http:" && base.protocol === "http:")) return url
    if (url.protocol !== "http:") throw this.#broken(`${where}, which is not safe to follow`)
    throw this.#broken(
      `${where}, away from TLS, which is not safe to follow`,
      "a proxy that does the TLS for a registry has to tell it (X-Forwarded-Proto: https, and Host as it came)",
    )
  }

  #failure(request: RegistryRequest, response: Response, url: URL): Promise<Error> {
    const { what, absent = "OVM_REGISTRY_FAILED" } = request
    const credential = this.#isOwn(url) ? this.#authorizer.behind(request.scope) : undefined
    return failure({ response, url, host: this.host, what, absent, limits: this.limits, credential })
  }

  #broken(reason: string, hint?: string): OvmError {
    return new OvmError("OVM_REGISTRY_FAILED", `${this.host}: ${reason}`, { ...(hint && { hint }) })
  }
}

/**
 * True if `response` is a challenge that is met now, so that `request`, which had the header `sent`, can be sent again.
 * Throws as Authorizer.answer does.
 */
async function isMet(
  { status, headers }: Response,
  request: RegistryRequest,
  authorizer: Authorizer,
  sent: string | undefined,
): Promise<boolean> {
  const challenge = headers.get("www-authenticate")
  if (status !== 401 || challenge === null || (request.body && !request.body.replayable)) return false
  return authorizer.answer(challenge, request.scope, sent, request)
}

/**
 * `url` with TLS where it names the same place without: what a proxy that does the TLS has not told the registry
 * (OVMS-OCI-091).
 */
function withTls(url: URL, base: URL): URL {
  if (url.protocol !== "http:" || base.protocol !== "https:") return url
  const secure = new URL(url)
  secure.protocol = "https:"
  return secure.origin === base.origin ? secure : url
}

/** What TLS does with a request that has none: it breaks off, or answers 400 in its own way. */
function mayBeTls(thrown: unknown): boolean {
  const error = thrown instanceof Transient ? thrown.error : thrown
  if (!(error instanceof OvmError)) return true
  if (error.code === "OVM_REGISTRY_UNREACHABLE") return true
  return isObject(error.detail) && error.detail.status === 400
}

function isRefusal({ status }: Response): boolean {
  return status === 401 || status === 403
}

function refusedText({ origin, scope }: Credential): string {
  const ours = origin === undefined ? "our credentials" : `the credentials of ${origin}`
  const next = scope === undefined ? "" : `: ovm login ${scope} anew, or ovm logout ${scope}`
  return `${ours} are refused, and are left out${next}`
}

function isRedirect(request: RegistryRequest, response: Response): boolean {
  const reading = request.method === "GET" || request.method === "HEAD"
  return reading && [301, 302, 303, 307, 308].includes(response.status) && response.headers.has("location")
}
