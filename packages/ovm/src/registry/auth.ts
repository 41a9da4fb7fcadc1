import type { Call } from "../content/interfaces.ts"
import { isObject } from "../content/manifest.ts"
import { OvmError } from "../errors.ts"
import { type Challenge, parseChallenges } from "./challenge.ts"
import type { Credential, Credentials } from "./credentials.ts"
import { failure } from "./failure.ts"
import { bytesBody, type Connection, readText, roundTrip } from "./http.ts"
import type { Limits } from "./limits.ts"
import { areRelated } from "./related.ts"

const TOKEN_LIMIT = 256 * 1024
/** A token is not used in the last seconds of its life. */
const EXPIRY_MARGIN_MS = 5_000

/**
 * Answers a registry's challenges: basic, or the token flow (distribution: auth/token.md, auth/oauth.md). It speaks for one
 * origin only; the transport asks it for no other.
 */
export class Authorizer {
  readonly #headers = new Map<string, { value: string; expires: number }>()
  /** How a scope's token was got, to get the next one before a request fails for want of it. */
  readonly #challenges = new Map<string, Challenge>()
  readonly #fetching = new Map<string, Promise<boolean>>()
  #credential: Promise<Credential | undefined> | undefined

  constructor(
    private readonly origin: URL,
    private readonly host: string,
    private readonly credentials: Credentials,
    private readonly limits: Limits,
    /** How to connect to a token server; throws if it must not be asked. */
    private readonly connectionTo: (url: URL) => Promise<Connection> = async () => ({}),
    /** Token servers elsewhere that the operator trusts with this registry's credentials. */
    private readonly tokenHosts: readonly string[] = [],
  ) {}

  /**
   * The Authorization header for `scope`, as far as it is known. A token that has expired is replaced, so that a long upload,
   * which cannot be sent twice, does not meet a 401. Throws as `answer`.
   */
  async header(scope: string, call: Call): Promise<string | undefined> {
    const known = this.#headers.get(scope)
    if (known && known.expires > Date.now()) return known.value
    const challenge = this.#challenges.get(scope)
    if (challenge) await this.#refresh(challenge, scope, call)
    return this.#headers.get(scope)?.value
  }

  /**
   * Learns from the WWW-Authenticate header of a 401 how to ask for `scope`; false if there is no way. `sent` is what the
   * refused request had. Throws OVM_CREDENTIALS_UNAVAILABLE, and OVM_REGISTRY_UNAUTHORIZED or OVM_REGISTRY_FAILED for what
   * the token server does.
   */
  async answer(header: string, scope: string, sent: string | undefined, call: Call): Promise<boolean> {
    const now = this.#headers.get(scope)
    // Another request was refused as well and has a new token already.
    if (now && now.value !== sent && now.expires > Date.now()) return true
    const challenges = parseChallenges(header)
    const bearer = challenges.find(({ scheme, parameters }) => scheme === "bearer" && parameters.realm)
    if (bearer) return this.#refresh(bearer, scope, call)
    if (!challenges.some(({ scheme }) => scheme === "basic")) return false
    const credential = await this.#get()
    if (!credential || !("password" in credential)) return false
    this.#headers.set(scope, { value: basic(credential), expires: Number.POSITIVE_INFINITY })
    return true
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

  #get(): Promise<Credential | undefined> {
    this.#credential ??= this.credentials.get(this.host)
    return this.#credential
  }

  async #fetchToken({ parameters }: Challenge, scope: string, call: Call): Promise<boolean> {
    const credential = await this.#get()
    const realm = this.#checkedRealm(parameters.realm ?? "", credential)
    const scopes = [...new Set([scope, parameters.scope ?? ""].flatMap((each) => each.split(" ")))].filter(
      Boolean,
    )
    const url = new URL(realm)
    const response = await roundTrip({
      ...(call.signal && { signal: call.signal }),
      url,
      connection: await this.connectionTo(url),
      limits: this.limits,
      ...tokenRequest(url, credential, parameters.service, scopes),
    })
    if (!response.ok) {
      const what = `a token from ${url.host}`
      throw await failure({
        response,
        url,
        host: this.host,
        what,
        absent: "OVM_REGISTRY_FAILED",
        limits: this.limits,
      })
    }
    const { token, lifeMs } = parseToken(await readText(response, url, this.limits, TOKEN_LIMIT, call), url)
    this.#headers.set(scope, { value: `Bearer ${token}`, expires: Date.now() + lifeMs })
    return true
  }

  // A registry chooses the realm, so it must not be a way to make us send secrets where others can read them
  // (CVE-2026-48978), nor a way from a protected connection to an open one.
  #checkedRealm(text: string, credential: Credential | undefined): URL {
    const realm = URL.canParse(text) ? new URL(text) : undefined
    const shown = realm ? `${realm.protocol}//${realm.host}` : JSON.stringify(text.slice(0, 100))
    const refuse = (reason: string, hint: string) =>
      new OvmError("OVM_REGISTRY_FAILED", `${this.host}: refuses to ask for a token at ${shown}, ${reason}`, {
        hint,
      })
    const kept = realm?.protocol === "https:" || this.origin.protocol === "http:"
    if (!realm || !/^https?:$/.test(realm.protocol) || !kept || realm.username || realm.password)
      throw refuse("which is not safe", "credentials are sent to https, or to the registry's own host")
    if (!credential || realm.hostname === this.origin.hostname || this.tokenHosts.includes(realm.host))
      return realm
    if (realm.protocol === "https:" && areRelated(realm.hostname, this.origin.hostname)) return realm
    throw refuse(
      "which has nothing to do with it",
      `if that is meant: "tokenHosts": ["${realm.host}"] for ${this.host} in registries.json`,
    )
  }
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
