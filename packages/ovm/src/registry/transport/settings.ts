import { dirname, resolve } from "node:path"
import { type OvmError, toOvmError } from "../../errors.ts"
import { readRegular } from "../../files/regular.ts"
import { settingsBytes, settingsError, settingsIn } from "../../files/settings-file.ts"
import { isObject } from "../../objects.ts"
import { isHost, isRepository } from "../reference.ts"
import { certificatesIn, usualAuthorities } from "./authorities.ts"

/** A copy of a registry's content elsewhere. */
export interface Mirror {
  readonly host: string
  /** What stands there before a repository's name. */
  readonly prefix?: string
  /** Whether it may say what a tag stands for. Content is asked of it by digest in any case. */
  readonly resolve: boolean
}

/** What an operator says about one registry (docs/registries.md). Paths are absolute. */
export interface RegistrySettings {
  readonly plainHttp?: boolean
  readonly ca?: string
  readonly clientCert?: string
  readonly clientKey?: string
  readonly proxy?: string
  readonly mirrors?: readonly Mirror[]
  readonly allowPrivateRedirects?: boolean
  readonly tokenHosts?: readonly string[]
  readonly maxConcurrency?: number
  readonly chunkBytes?: number
}

/** The settings of all registries; a host that is not named has none. */
export class Settings {
  constructor(private readonly hosts: ReadonlyMap<string, RegistrySettings> = new Map()) {}

  for(host: string): RegistrySettings {
    return this.hosts.get(host) ?? {}
  }
}

const LIMIT = 1024 * 1024

/**
 * Reads the file `path`; without it there are no settings. Throws OVM_SETTINGS_INVALID naming the file and the field.
 */
export async function readSettings(path: string): Promise<Settings> {
  let text: string | undefined
  try {
    const bytes = await settingsBytes(path, LIMIT)
    if (bytes === undefined) return new Settings()
    text = new TextDecoder().decode(bytes)
  } catch (error) {
    if ((error as OvmError).code === "OVM_TOO_LARGE") throw invalid(path, "", `it is above ${LIMIT} bytes`)
    throw error
  }
  return parseSettings(text, path)
}

/**
 * The settings in `text`, as `readSettings` reads them from a file; `path` is for messages, and relative paths in it
 * start from its folder. Throws OVM_SETTINGS_INVALID.
 */
export function parseSettings(text: string, path: string): Settings {
  const value = settingsIn(text, (reason, cause) => invalid(path, "", reason, cause))
  const unknown = Object.keys(value).find((key) => key !== "$schema" && key !== "registries")
  if (unknown !== undefined) throw invalid(path, unknown, "there is no such field")
  const registries = value.registries ?? {}
  if (!isObject(registries)) throw invalid(path, "registries", "it is not an object")
  const hosts = new Map<string, RegistrySettings>()
  for (const [host, entry] of Object.entries(registries)) {
    const where = `registries.${JSON.stringify(host)}`
    if (!isHost(host)) throw invalid(path, where, "it is not HOST or HOST:PORT in lower case")
    if (!isObject(entry)) throw invalid(path, where, "it is not an object")
    hosts.set(host, parseEntry(entry, path, where))
  }
  return new Settings(hosts)
}

function parseEntry(entry: Record<string, unknown>, path: string, where: string): RegistrySettings {
  const settings: Record<string, unknown> = {}
  for (const [field, value] of Object.entries(entry)) {
    const parse = Object.hasOwn(FIELDS, field) ? FIELDS[field as keyof RegistrySettings] : undefined
    if (!parse) throw invalid(path, `${where}.${field}`, "there is no such field")
    const parsed = parse(value, dirname(path))
    if (parsed === undefined)
      throw invalid(path, `${where}.${field}`, `it is not ${EXPECTED[field as keyof RegistrySettings]}`)
    settings[field] = parsed
  }
  if ("clientCert" in settings !== "clientKey" in settings)
    throw invalid(path, where, "clientCert and clientKey go together")
  return settings
}

type Parse = (value: unknown, folder: string) => unknown

const flag: Parse = (value) => (typeof value === "boolean" ? value : undefined)
const file: Parse = (value, folder) =>
  typeof value === "string" && value !== "" ? resolve(folder, value) : undefined

/** How the value of each field is read; undefined for a value that the field does not take. */
const FIELDS: Readonly<Record<keyof RegistrySettings, Parse>> = {
  plainHttp: flag,
  ca: file,
  clientCert: file,
  clientKey: file,
  proxy: (value) =>
    typeof value === "string" && /^https?:\/\/[^/]+\/?$/.test(value) && URL.canParse(value)
      ? value
      : undefined,
  mirrors: (value) => {
    const mirrors = Array.isArray(value) && value.length <= 16 ? value.map(parseMirror) : [undefined]
    return mirrors.includes(undefined) ? undefined : mirrors
  },
  allowPrivateRedirects: flag,
  tokenHosts: (value) =>
    Array.isArray(value) &&
    value.length <= 16 &&
    value.every((host) => typeof host === "string" && isHost(host))
      ? value
      : undefined,
  maxConcurrency: (value) =>
    Number.isInteger(value) && Number(value) >= 1 && Number(value) <= 64 ? value : undefined,
  chunkBytes: (value) =>
    Number.isInteger(value) && Number(value) >= 1024 && Number(value) <= 2 ** 40 ? value : undefined,
}

const EXPECTED: Readonly<Record<keyof RegistrySettings, string>> = {
  plainHttp: "true or false",
  ca: "a path",
  clientCert: "a path",
  clientKey: "a path",
  proxy: "http://[USER:PASSWORD@]HOST:PORT or the same with https",
  mirrors: 'a list of at most 16 {"location": "HOST[/PREFIX]", "resolve": true or false}',
  allowPrivateRedirects: "true or false",
  tokenHosts: "a list of at most 16 HOST or HOST:PORT",
  maxConcurrency: "a whole number from 1 to 64",
  chunkBytes: "a whole number from 1024 to 1099511627776",
}

function parseMirror(value: unknown): Mirror | undefined {
  if (!isObject(value) || typeof value.location !== "string") return undefined
  const { location, resolve: resolves = false, ...rest } = value
  if (typeof resolves !== "boolean" || Object.keys(rest).length > 0) return undefined
  const [host = "", ...path] = String(location).split("/")
  const prefix = path.join("/")
  if (!isHost(host) || (path.length > 0 && !isRepository(prefix))) return undefined
  return { host, resolve: resolves, ...(prefix && { prefix }) }
}

/** What TLS needs of the settings, read from their files. */
export interface TlsFiles {
  readonly ca?: readonly string[]
  /** The file of the settings that authorities were added from, for messages. */
  readonly caFile?: string
  readonly cert?: string
  readonly key?: string
}

/** Throws OVM_FILE_UNREADABLE or OVM_SETTINGS_INVALID, naming the file. */
export async function readTls(settings: RegistrySettings): Promise<TlsFiles | undefined> {
  const { ca, clientCert, clientKey } = settings
  if (ca === undefined && clientCert === undefined) return undefined
  const read = async (path: string) => new TextDecoder().decode(await readRegular(path, LIMIT))
  try {
    return {
      ...(ca !== undefined && { ca: await withUsual(ca), caFile: ca }),
      ...(clientCert !== undefined && { cert: await read(clientCert) }),
      ...(clientKey !== undefined && { key: await read(clientKey) }),
    }
  } catch (error) {
    throw toOvmError(error)
  }
}

/** Beside the usual ones: a registry with a certificate of its own may still redirect to a public one. */
async function withUsual(path: string): Promise<readonly string[]> {
  const own = await certificatesIn(path)
  if (own.length === 0) throw invalid(path, "", "it has no certificate in PEM, and is the `ca` of a registry")
  return [...(await usualAuthorities()), ...own]
}

function invalid(path: string, field: string, reason: string, cause?: unknown): OvmError {
  return settingsError(path, field, reason, {
    cause,
    detail: { file: path, field },
    hint: "docs/registries.md says what may be in it",
  })
}
