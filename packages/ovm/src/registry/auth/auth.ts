import type { Call } from "../../content/interfaces.ts"
import { OvmError } from "../../errors.ts"
import { isObject } from "../../objects.ts"
import { failure } from "../http/failure.ts"
import { bytesBody, type Connection, readText, roundTrip } from "../http/http.ts"
import type { HttpLimits } from "../http/limits.ts"
import { type Challenge, parseChallenges } from "./challenge.ts"
import type { Credential, Credentials } from "./credentials.ts"
import { areRelated } from "./related.ts"

const TOKEN_LIMIT = 256 * 1024
/** A token is not used in the last seconds of its life. */
const EXPIRY_MARGIN_MS = 5_000
/** The first repository of a scope, which is what is asked for; others are where a blob may be mounted from. */
const REPOSITORY = /^repository:([^:]+):/
const READING = /^repository:[^:]+:pull$/

interface Header {
  readonly value: string
  readonly expires: number
  readonly credential: Credential | undefined
}

export interface AuthorizerOptions {
  /** The registry's own. */
  readonly origin: URL
  readonly host: string
  readonly credentials: Credentials
  readonly limits: HttpLimits
  /** How to connect to a token server; throws if it must not be asked. As usual unless told. */
  connectionTo?(url: URL): Promise<Connection>
  /** Token servers elsewhere that the operator trusts with this registry's credentials. */
  readonly tokenHosts?: readonly string[] | undefined
  /** Told of credentials that are of no use. */
  onRefused?(credential: Credential): void
}

/**
 * Answers a registry's challenges: basic, or the token flow (distribution: auth/token.md, auth/oauth.md). It speaks for
 * one origin only; the transport asks it for no other. What is sent for a repository is the credential of that
 * repository (OVMS-REF-020), so headers are kept by scope.
 */
export class Authorizer {
  readonly #headers = new Map<string, Header>()
  /** How a scope's token was got, to get the next one before a request fails for want of it. */
  readonly #challenges = new Map<string, Challenge>()
  readonly #fetching = new Map<string, Promise<boolean>>()
  readonly #credentials = new Map<string, Promise<Credential | undefined>>()
  /** What was refused for a scope, which is asked for as nobody since. */
  readonly #refused = new Map<string, Credential>()
  /** Scopes for which that was tried. */
  readonly #tried = new Set<string>()

  constructor(private readonly options: AuthorizerOptions) {}

  /**
   * The Authorization header for `scope`, as far as it is known. A token that has expired is replaced, so that a long
   * upload, which cannot be sent twice, does not meet a 401. Throws as `answer`.
   */
  async header(scope: string, call: Call): Promise<string | undefined> {
    const known = this.#headers.get(scope)
    if (known && known.expires > Date.now()) return known.value
    const challenge = this.#challenges.get(scope)
    if (challenge) await this.#refresh(challenge, scope, call)
    return this.#headers.get(scope)?.value
  }

  /**
   * Learns from the WWW-Authenticate header of a 401 how to ask for `scope`; false if there is no way. `sent` is what
   * the refused request had. Throws OVM_CREDENTIALS_UNAVAILABLE, and OVM_REGISTRY_UNAUTHORIZED or OVM_REGISTRY_FAILED
   * for what the token server does.
   */
  async answer(header: string, scope: string, sent: string | undefined, call: Call): Promise<boolean> {
    const now = this.#headers.get(scope)
    // Another request was refused as well and has a new token already.
    if (now && now.value !== sent && now.expires > Date.now()) return true
    const challenges = parseChallenges(header)
    const bearer = challenges.find(({ scheme, parameters }) => scheme === "bearer" && parameters.realm)
    if (bearer) return this.#refresh(bearer, scope, call)
    if (!challenges.some(({ scheme }) => scheme === "basic")) return false
    const credential = await this.#get(scope)
    if (!credential || !("password" in credential)) return false
    this.#headers.set(scope, { value: basic(credential), expires: Number.POSITIVE_INFINITY, credential })
    return true
  }

  /** The credential that a refusal of `scope` is about; undefined if it was asked for as nobody from the beginning. */
  behind(scope: string): Credential | undefined {
    return this.#headers.get(scope)?.credential ?? this.#refused.get(scope)
  }

  /**
   * Turns to asking for `scope` as nobody, after it was refused to our credentials: a login that is out of date must
   * not stand in the way of what is open to all. Reading only, and once. Returns what has to be told whether it helped;
   * undefined if there is nothing to be tried.
   */
  async withoutCredentials(scope: string, call: Call): Promise<((helped: boolean) => void) | undefined> {
    const [challenge, before] = [this.#challenges.get(scope), this.#headers.get(scope)]
    const credential = before?.credential
    if (!challenge || !credential || !READING.test(scope) || this.#tried.has(scope)) return undefined
    this.#tried.add(scope)
    try {
      this.#headers.set(scope, await this.#token(challenge, scope, undefined, call))
    } catch (error) {
      if (isRefusal(error)) return undefined
      throw error
    }
    this.#refused.set(scope, credential)
    return (helped) => {
      if (helped) return this.options.onRefused?.(credential)
      this.#refused.delete(scope)
      this.#headers.set(scope, before)
    }
  }

  /** One new token for all that wait for it. */
  async #refresh(challenge: Challenge, scope: string, call: Call): Promise<boolean> {
    const running = this.#fetching.get(scope)
    if (running) return running
    const fetching = this.#fetchToken(challenge, scope, call)
    this.#fetching.set(scope, fetching)
    try {
      const got = await fetching
      this.#challenges.set(scope, challenge)
      return got
    } finally {
      this.#fetching.delete(scope)
    }
  }

  #get(scope: string): Promise<Credential | undefined> {
    const repository = REPOSITORY.exec(scope)?.[1]
    const { host, credentials } = this.options
    const name = repository === undefined ? host : `${host}/${repository}`
    const credential = this.#credentials.get(name) ?? credentials.get(name)
    this.#credentials.set(name, credential)
    return credential
  }

  async #fetchToken(challenge: Challenge, scope: string, call: Call): Promise<boolean> {
    const credential = this.#refused.has(scope) ? undefined : await this.#get(scope)
    try {
      this.#headers.set(scope, await this.#token(challenge, scope, credential, call))
    } catch (refusal) {
      if (!credential || !READING.test(scope) || !isRefusal(refusal)) throw refusal
      const header = await this.#token(challenge, scope, undefined, call).catch(() => {
        throw refusal
      })
      this.#headers.set(scope, header)
      this.#refused.set(scope, credential)
      this.options.onRefused?.(credential)
    }
    return true
  }

  async #token(
    { parameters }: Challenge,
    scope: string,
    credential: Credential | undefined,
    call: Call,
  ): Promise<Header> {
    const { host, limits } = this.options
    const realm = this.#checkedRealm(parameters.realm ?? "", credential)
    const scopes = [...new Set([scope, parameters.scope ?? ""].flatMap((each) => each.split(" ")))].filter(
      Boolean,
    )
    const url = new URL(realm)
    const response = await roundTrip({
      ...(call.signal && { signal: call.signal }),
      url,
      connection: (await this.options.connectionTo?.(url)) ?? {},
      limits,
      ...tokenRequest(url, credential, parameters.service, scopes),
    })
    if (!response.ok) {
      const what = `a token from ${url.host}`
      const absent = "OVM_REGISTRY_FAILED"
      throw await failure({ response, url, host, what, absent, limits, credential })
    }
    const { token, lifeMs } = parseToken(await readText({ response, url }, limits, TOKEN_LIMIT, call), url)
    return { value: `Bearer ${token}`, expires: Date.now() + lifeMs, credential }
  }

  // A registry chooses the realm, so it must not be a way to make us send secrets where others can read them
  // (CVE-2026-48978), nor a way from a protected connection to an open one.
  #checkedRealm(text: string, credential: Credential | undefined): URL {
    const { origin, host, tokenHosts = [] } = this.options
    const realm = URL.canParse(text) ? new URL(text) : undefined
    const shown = realm ? `${realm.protocol}//${realm.host}` : JSON.stringify(text.slice(0, 100))
    const refuse = (reason: string, hint: string) =>
      new OvmError("OVM_REGISTRY_FAILED", `${host}: refuses to ask for a token at ${shown}, ${reason}`, {
        hint,
      })
    const kept = realm?.protocol === "https:" || origin.protocol === "http:"
    if (!realm || !/^https?:$/.test(realm.protocol) || !kept || realm.username || realm.password)
      throw refuse("which is not safe", "credentials are sent to https, or to the registry's own host")
    if (!credential || realm.hostname === origin.hostname || tokenHosts.includes(realm.host)) return realm
    if (realm.protocol === "https:" && areRelated(realm.hostname, origin.hostname)) return realm
    throw refuse(
      "which has nothing to do with it",
      `if that is meant: "tokenHosts": ["${realm.host}"] for ${host} in registries.json`,
    )
  }
}

/** A token server's no: RFC 6749 has 400 for a token that is out of date. */
function isRefusal(error: unknown): boolean {
  const status = error instanceof OvmError && isObject(error.detail) ? error.detail.status : undefined
  return status === 400 || status === 401 || status === 403
}

function tokenRequest(
  url: URL,
  credential: Credential | undefined,
  service: string | undefined,
  scopes: string[],
) {
  if (credential && "identityToken" in credential) {
    const form = new URLSearchParams({
      grant_type: "refresh_token",
      client_id: "ovm",
      refresh_token: credential.identityToken,
      ...(service && { service }),
      scope: scopes.join(" "),
    }).toString()
    return {
      method: "POST",
      headers: { "Content-Type": "application/x-www-form-urlencoded" },
      body: bytesBody(form),
    }
  }
  if (service) url.searchParams.set("service", service)
  for (const scope of scopes) url.searchParams.append("scope", scope)
  return { method: "GET", headers: credential ? { Authorization: basic(credential) } : {} }
}

function basic({ username, password }: { username: string; password: string }): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}`
}

function parseToken(text: string, url: URL): { token: string; lifeMs: number } {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    // Said below, without the text: it may hold the token.
  }
  const token = isObject(value) ? (value.token ?? value.access_token) : undefined
  if (typeof token !== "string" || !/^[\x21-\x7e]+$/.test(token))
    throw new OvmError("OVM_REGISTRY_FAILED", `${url.host}: the token server's answer has no token`)
  const seconds = isObject(value) && typeof value.expires_in === "number" ? value.expires_in : 60
  return { token, lifeMs: Math.max(1_000, seconds * 1000 - EXPIRY_MARGIN_MS) }
}
