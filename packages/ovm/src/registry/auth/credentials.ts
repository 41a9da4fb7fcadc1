import { chown, mkdir, stat } from "node:fs/promises"
import { dirname, join } from "node:path"
import { OvmError, toOvmError } from "../../errors.ts"
import { guarded } from "../../files/guarded.ts"
import { ifPresent } from "../../files/present.ts"
import { replaceFile } from "../../files/replace.ts"
import { sweepTemporaries } from "../../files/temporary.ts"
import { type Lock, lock } from "../../host/lock.ts"
import { homeFolder } from "../../host/paths.ts"
import { isObject } from "../../objects.ts"
import { DockerConfig, type Secret, unusable } from "./docker-config.ts"
import { HELPER_MS, runHelper } from "./helper.ts"
import { hostOf, keyOf, scopeOf } from "./scope.ts"

/** Who we are to a registry. The secret is never printed and never part of an error. */
export type Credential = Secret & {
  /** Where it is kept, for people; absent if it was just given. */
  readonly origin?: string
  /** What it is for: HOST or HOST/PATH, as `ovm logout` takes it. */
  readonly scope?: string
}

/** Where credentials come from. */
export interface Credentials {
  /** For `name`, HOST or HOST/REPOSITORY. Throws OVM_CREDENTIALS_UNAVAILABLE; undefined means anonymous. */
  get(name: string): Promise<Credential | undefined>
}

export const ANONYMOUS: Credentials = { get: async () => undefined }

type Environment = Readonly<Record<string, string | undefined>>

/** What a helper answers in place of a user name when the secret is a token. */
const TOKEN_USER = "<token>"

/**
 * The credentials that Docker, Podman, ORAS and others share: `config.json` in `$DOCKER_CONFIG` or `~/.docker`, and the
 * helpers that it names. Fields that are not ours are kept. Who has no home has no such file.
 */
export class DockerCredentials implements Credentials {
  readonly #path: string | undefined
  readonly #helperMs: number

  /** `source`: the file, or the environment that says where it is. */
  constructor(
    source: { readonly path: string } | { readonly env: Environment },
    options: { helperMs?: number } = {},
  ) {
    this.#path = "path" in source ? source.path : configPath(source.env)
    this.#helperMs = options.helperMs ?? HELPER_MS
  }

  /** Of the longest path that contains `name`, else its host's: the helper's, and then the file's. */
  get(name: string): Promise<Credential | undefined> {
    return guarded(async () => {
      if (this.#path === undefined) return undefined
      const scope = scopeOf(name)
      const config = await DockerConfig.read(this.#path)
      return (
        this.#held(config, scope, true) ??
        (await this.#ask(config, hostOf(scope))) ??
        this.#held(config, scope, false)
      )
    })
  }

  /**
   * Keeps a credential for `name`, HOST or HOST/PATH: with the helper if one is configured for the host, else in the
   * file, which nobody else may read.
   */
  store(name: string, username: string, password: string): Promise<void> {
    return guarded(async () => {
      const scope = scopeOf(name)
      await this.#change(true, async (config) => {
        const helper = config.helperFor(hostOf(scope))
        if (helper === undefined) {
          const auth = Buffer.from(`${username}:${password}`).toString("base64")
          return { ...withoutScope(config, scope), [keyOf(scope)]: { auth } }
        }
        this.#expectHost(helper, scope)
        const secret = { ServerURL: keyOf(scope), Username: username, Secret: password }
        await runHelper(helper, "store", JSON.stringify(secret), this.#helperMs)
        return undefined
      })
    })
  }

  /**
   * Forgets what is kept for `name` itself; false if there was nothing in the file and no helper that may have had it.
   */
  erase(name: string): Promise<boolean> {
    return guarded(async () => {
      const scope = scopeOf(name)
      let found = false
      await this.#change(false, async (config) => {
        const helper = scope === hostOf(scope) ? config.helperFor(scope) : undefined
        if (helper !== undefined) await runHelper(helper, "erase", keyOf(scope), this.#helperMs)
        const auths = withoutScope(config, scope)
        const fewer = Object.keys(auths).length < Object.keys(config.section("auths")).length
        found = fewer || helper !== undefined
        return fewer ? auths : undefined
      })
      return found
    })
  }

  /** The scopes below `host` that the file has entries for, for who asks to forget one that it has not. */
  scopesOf(host: string): Promise<readonly string[]> {
    return guarded(async () => {
      if (this.#path === undefined) return []
      const config = await DockerConfig.read(this.#path)
      return Object.keys(config.section("auths"))
        .map(scopeOf)
        .filter((scope) => hostOf(scope) === host)
    })
  }

  #held(config: DockerConfig, name: string, below: boolean): Credential | undefined {
    const found = config.secretFor(name, below)
    if (!found) return undefined
    const origin = `auths[${JSON.stringify(found.key)}] in ${this.#path}`
    return { ...found.secret, origin, scope: found.scope }
  }

  async #ask(config: DockerConfig, host: string): Promise<Credential | undefined> {
    const helper = config.helperFor(host)
    if (helper === undefined) return undefined
    const answer = await runHelper(helper, "get", keyOf(host), this.#helperMs)
    if (answer === undefined) return undefined
    const value = parseAnswer(answer)
    const known = isObject(value) && typeof value.Username === "string" && typeof value.Secret === "string"
    if (!known) throw unusable(`the credential helper ${JSON.stringify(helper)} gave no user name and secret`)
    const { Username, Secret } = value as { Username: string; Secret: string }
    const origin = `the credential helper ${JSON.stringify(helper)} in ${this.#path}`
    const secret =
      Username === TOKEN_USER ? { identityToken: Secret } : { username: Username, password: Secret }
    return { ...secret, origin, scope: host }
  }

  #expectHost(helper: string, scope: string): void {
    if (scope === hostOf(scope)) return
    throw unusable(
      `the credential helper ${JSON.stringify(helper)} keeps credentials of hosts, not of ${scope}`,
      undefined,
      `ovm login ${hostOf(scope)}, or take the helper of that host out of ${this.#path}`,
    )
  }

  /**
   * Writes the `auths` that `change` makes of the file as it is now, one writer at a time; nothing where it gives
   * undefined.
   */
  async #change(make: boolean, change: (config: DockerConfig) => Promise<object | undefined>): Promise<void> {
    const path = this.#path
    if (path === undefined)
      throw unusable(
        "there is no home directory to keep credentials in: HOME is not set",
        undefined,
        "DOCKER_CONFIG=FOLDER",
      )
    try {
      if (make) await mkdir(dirname(path), { recursive: true, mode: 0o700 })
      using _lock = await lockFolder(dirname(path))
      const config = await DockerConfig.read(path)
      const auths = await change(config)
      if (auths) await this.#write(path, config, auths)
    } catch (cause) {
      if (cause instanceof OvmError) throw cause
      throw unusable(`${path} cannot be written: ${(cause as NodeJS.ErrnoException).code}`, cause)
    }
  }

  async #write(path: string, config: DockerConfig, auths: object): Promise<void> {
    const text = `${JSON.stringify({ ...config.members, auths }, undefined, config.indent)}\n`
    const before = await ifPresent(stat(path))
    await sweepTemporaries(dirname(path))
    // Dotfiles are often links into a folder under version control.
    await replaceFile(path, text, { durable: true, through: true, mode: modeOf(before?.mode) })
    const ours = before?.uid === process.getuid?.() && before?.gid === process.getgid?.()
    if (before && !ours) await chown(path, before.uid, before.gid).catch(() => {})
  }
}

function configPath(env: Environment): string | undefined {
  const home = homeFolder(env)
  const folder = env.DOCKER_CONFIG || (home && join(home, ".docker"))
  return folder && join(folder, "config.json")
}

/** Its mode, where that keeps others out; what had no secret may have been readable by everybody. */
function modeOf(mode: number | undefined): number {
  return mode === undefined || mode & 0o007 ? 0o600 : mode & 0o777
}

/**
 * Undefined without such a folder, or where there are no locks: two logins at once are rare, and one is not to fail for
 * that.
 */
function lockFolder(path: string): Promise<Lock | undefined> {
  return ifPresent(lock(path, "exclusive", { existing: true })).catch((thrown: unknown) => {
    if (toOvmError(thrown).code === "OVM_LOCK_UNSUPPORTED") return undefined
    throw thrown
  })
}

function withoutScope(config: DockerConfig, scope: string): Record<string, unknown> {
  const others = Object.entries(config.section("auths")).filter(([key]) => scopeOf(key) !== scope)
  return Object.fromEntries(others)
}

function parseAnswer(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    // Not passed on: the parser's message quotes the text, which is secret.
    return undefined
  }
}
