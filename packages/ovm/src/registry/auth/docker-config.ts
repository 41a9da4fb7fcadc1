import { stat } from "node:fs/promises"
import { OvmError } from "../../errors.ts"
import { isAbsent } from "../../files/present.ts"
import { readRegular } from "../../files/regular.ts"
import { isObject } from "../../objects.ts"
import { contains, hostOf, scopeOf } from "./scope.ts"

// What is in the file that Docker, Podman, ORAS and others share. Nothing of its values gets into an error.

/** A file with thousands of entries stays below; bytes. */
const LIMIT = 4 << 20

type Members = Readonly<Record<string, unknown>>

/** An entry of `auths` that holds a secret. */
export type Secret =
  | { readonly username: string; readonly password: string }
  | { readonly identityToken: string }

export class DockerConfig {
  private constructor(
    private readonly path: string,
    /** All members, those of others too. */
    readonly members: Members,
    /** What the members were indented with. */
    readonly indent: string,
  ) {}

  /**
   * Reads the file `path`; one that is not there, or is empty, is `{}`. Throws OVM_CREDENTIALS_UNAVAILABLE, naming file
   * and member.
   */
  static async read(path: string): Promise<DockerConfig> {
    const text = await readText(path)
    const value = text.trim() === "" ? {} : parseJson(text)
    if (!isObject(value)) throw unusable(`${path} is not a JSON object`)
    const config = new DockerConfig(path, value, /^[ \t]+/m.exec(text)?.[0] ?? "\t")
    for (const name of ["auths", "credHelpers"]) config.section(name)
    config.helperFor("")
    return config
  }

  /** A member that is an object of objects or texts; null, as Go's programs write it, is an empty one. */
  section(name: string): Members {
    const value = this.members[name] ?? {}
    if (isObject(value)) return value
    throw this.#fault(name, "an object")
  }

  /** The name of the helper that keeps the credentials of `host`; undefined if none does. */
  helperFor(host: string): string | undefined {
    const helpers = Object.entries(this.section("credHelpers"))
    const [key, own] = helpers.find(([key]) => key === host || scopeOf(key) === host) ?? []
    const name = own ?? this.members.credsStore ?? ""
    if (typeof name === "string") return name || undefined
    throw this.#fault(own === undefined ? "credsStore" : `credHelpers[${JSON.stringify(key)}]`, "a text")
  }

  /**
   * The entry of `auths` with the longest key that contains `name`, HOST or HOST/REPOSITORY, and that holds a secret;
   * those of paths only if `below`, which are more exact than what a helper has for the host.
   */
  secretFor(name: string, below: boolean): { secret: Secret; scope: string; key: string } | undefined {
    const found = Object.entries(this.section("auths"))
      .map(([key, entry]) => ({ key, entry, scope: scopeOf(key) }))
      .filter(({ scope }) => contains(scope, name) && (scope !== hostOf(name)) === below)
      .sort(
        (a, b) => b.scope.length - a.scope.length || Number(b.key === b.scope) - Number(a.key === a.scope),
      )
    for (const { key, entry, scope } of found) {
      const secret = this.#secret(key, entry)
      if (secret) return { secret, scope, key }
    }
    return undefined
  }

  #secret(key: string, entry: unknown): Secret | undefined {
    const where = `auths[${JSON.stringify(key)}]`
    const members = entry ?? {}
    if (!isObject(members)) throw this.#fault(where, "an object")
    const text = (name: string): string => {
      const value = members[name] ?? ""
      if (typeof value === "string") return value
      throw this.#fault(`${where}.${name}`, "a text")
    }
    const [identityToken, auth, username, password] = [
      text("identitytoken"),
      text("auth"),
      text("username"),
      text("password"),
    ]
    if (identityToken) return { identityToken }
    if (auth) {
      const [, user, secret] = /^([^:]+):(.*)$/s.exec(Buffer.from(auth, "base64").toString()) ?? []
      if (user === undefined || secret === undefined)
        throw this.#fault(`${where}.auth`, "USER:PASSWORD in base64")
      return { username: user, password: secret }
    }
    return username ? { username, password } : undefined
  }

  #fault(member: string, expected: string): OvmError {
    return unusable(`${this.path}: ${member} is not ${expected}`)
  }
}

/** What `path` holds; "" if it is not there, or is in a folder that is not ours to look into. */
async function readText(path: string): Promise<string> {
  try {
    return new TextDecoder().decode(await readRegular(path, LIMIT))
  } catch (cause) {
    if (isAbsent(cause) || (await isOutOfReach(path))) return ""
    throw unusable(`credentials cannot be read: ${(cause as Error).message}`, cause)
  }
}

/** True for a file in a folder of somebody else: HOME may be another user's. */
async function isOutOfReach(path: string): Promise<boolean> {
  return stat(path).then(
    () => false,
    (error: NodeJS.ErrnoException) => error.code === "EACCES",
  )
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    // Not passed on: the parser's message quotes the text, which is secret.
    return undefined
  }
}

export function unusable(message: string, cause?: unknown, hint?: string): OvmError {
  return new OvmError("OVM_CREDENTIALS_UNAVAILABLE", message, { cause, ...(hint !== undefined && { hint }) })
}
