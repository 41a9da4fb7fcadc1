import { mkdir } from "node:fs/promises"
import { homedir } from "node:os"
import { dirname, join } from "node:path"
import { guarded } from "../content/guarded.ts"
import { isObject } from "../content/manifest.ts"
import { OvmError } from "../errors.ts"
import { isAbsent } from "../files/present.ts"
import { readRegular } from "../files/regular.ts"
import { replaceFile, sweepTemporaries } from "../files/replace.ts"
import { HELPER_MS, runHelper } from "./helper.ts"

/** Who we are to a registry. Never printed, never part of an error. */
export type Credential =
  | { readonly username: string; readonly password: string }
  | { readonly identityToken: string }

/** Where credentials come from. */
export interface Credentials {
  /** Throws OVM_CREDENTIALS_UNAVAILABLE; undefined means anonymous. */
  get(host: string): Promise<Credential | undefined>
}

export const ANONYMOUS: Credentials = { get: async () => undefined }

/** What a helper answers in place of a user name when the secret is a token. */
const TOKEN_USER = "<token>"

type Config = Record<string, unknown>

/** Bytes of a config file. */
const LIMIT = 4 << 20

/**
 * The credentials that Docker, Podman, ORAS and others share: `config.json` in `$DOCKER_CONFIG` or `~/.docker`, and the
 * helpers that it names. Fields that are not ours are kept.
 */
export class DockerCredentials implements Credentials {
  readonly #path: string
  readonly #helperMs: number

  constructor(options: { path?: string; helperMs?: number; env?: Record<string, string | undefined> } = {}) {
    const folder = (options.env ?? process.env).DOCKER_CONFIG || join(homedir(), ".docker")
    this.#path = options.path ?? join(folder, "config.json")
    this.#helperMs = options.helperMs ?? HELPER_MS
  }

  get(host: string): Promise<Credential | undefined> {
    return guarded(async () => {
      const config = await this.#read()
      const helper = helperOf(config, host)
      const held = helper === undefined ? undefined : await this.#ask(helper, host)
      return held ?? this.#entry(config, host)
    })
  }

  /** Keeps a credential for `host`: with the helper if one is configured, else in the file, which gets mode 0600. */
  store(host: string, username: string, password: string): Promise<void> {
    return guarded(async () => {
      const config = await this.#read()
      const helper = helperOf(config, host)
      if (helper === undefined) {
        const auth = Buffer.from(`${username}:${password}`).toString("base64")
        return this.#write({ ...config, auths: { ...withoutHost(config, host), [keyOf(host)]: { auth } } })
      }
      const secret = { ServerURL: keyOf(host), Username: username, Secret: password }
      await runHelper(helper, "store", JSON.stringify(secret), this.#helperMs)
    })
  }

  /** Forgets what is kept for `host`; false if there was nothing in the file and no helper that may have had it. */
  erase(host: string): Promise<boolean> {
    return guarded(async () => {
      const config = await this.#read()
      const helper = helperOf(config, host)
      if (helper !== undefined) await runHelper(helper, "erase", keyOf(host), this.#helperMs)
      const auths = withoutHost(config, host)
      const found = Object.keys(auths).length < Object.keys(section(config, "auths")).length
      if (found) await this.#write({ ...config, auths })
      return found || helper !== undefined
    })
  }

  async #ask(helper: string, host: string): Promise<Credential | undefined> {
    const answer = await runHelper(helper, "get", keyOf(host), this.#helperMs)
    if (answer === undefined) return undefined
    const value = parseJson(answer)
    if (!isObject(value) || typeof value.Username !== "string" || typeof value.Secret !== "string")
      throw this.#unusable(`the credential helper ${JSON.stringify(helper)} gave no user name and secret`)
    if (value.Username === TOKEN_USER) return { identityToken: value.Secret }
    return { username: value.Username, password: value.Secret }
  }

  #entry(config: Config, host: string): Credential | undefined {
    const entry = Object.entries(section(config, "auths")).find(
      ([key]) => hostOf(key) === hostOf(keyOf(host)),
    )?.[1]
    if (!isObject(entry)) return undefined
    const { identitytoken, auth, username, password } = entry
    if (typeof identitytoken === "string" && identitytoken) return { identityToken: identitytoken }
    if (typeof auth === "string" && auth) {
      const [, user, secret] = /^([^:]+):(.*)$/s.exec(Buffer.from(auth, "base64").toString()) ?? []
      if (user === undefined || secret === undefined)
        throw this.#unusable(
          `${this.#path}: auths[${JSON.stringify(host)}].auth is not USER:PASSWORD in base64`,
        )
      return { username: user, password: secret }
    }
    return typeof username === "string" && typeof password === "string" && username
      ? { username, password }
      : undefined
  }

  async #read(): Promise<Config> {
    let text: string
    try {
      text = new TextDecoder().decode(await readRegular(this.#path, LIMIT))
    } catch (cause) {
      if (isAbsent(cause)) return {}
      throw this.#unusable(`${this.#path} cannot be read: ${(cause as OvmError).message}`, cause)
    }
    const value = parseJson(text)
    if (isObject(value)) return value
    throw this.#unusable(`${this.#path} is not a JSON object`)
  }

  async #write(config: Config): Promise<void> {
    await mkdir(dirname(this.#path), { recursive: true, mode: 0o700 })
    try {
      const text = `${JSON.stringify(config, undefined, "\t")}\n`
      await sweepTemporaries(dirname(this.#path))
      // Dotfiles are often links into a folder under version control.
      await replaceFile(this.#path, text, { durable: true, through: true })
    } catch (cause) {
      throw this.#unusable(`${this.#path} cannot be written: ${(cause as NodeJS.ErrnoException).code}`, cause)
    }
  }

  #unusable(message: string, cause?: unknown): OvmError {
    return new OvmError("OVM_CREDENTIALS_UNAVAILABLE", message, { cause })
  }
}

function helperOf(config: Config, host: string): string | undefined {
  const own = section(config, "credHelpers")[host] ?? config.credsStore
  return typeof own === "string" && own ? own : undefined
}

function withoutHost(config: Config, host: string): Config {
  const others = Object.entries(section(config, "auths")).filter(
    ([key]) => hostOf(key) !== hostOf(keyOf(host)),
  )
  return Object.fromEntries(others)
}

function section(config: Config, name: string): Config {
  const value = config[name]
  return isObject(value) ? value : {}
}

/** Docker Hub's entry has had this name since before registries had hosts. */
function keyOf(host: string): string {
  return host === "docker.io" ? "https://index.docker.io/v1/" : host
}

/** Older tools wrote whole URLs as keys. */
function hostOf(key: string): string {
  return key
    .replace(/^https?:\/\//, "")
    .replace(/\/.*$/, "")
    .toLowerCase()
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    // Not passed on: the parser's message quotes the text, which is secret.
    return undefined
  }
}
