import { OvmError } from "../errors.ts"
import { guarded } from "../files/guarded.ts"
import type { Credentials } from "./auth/credentials.ts"
import { HttpStore } from "./http-store.ts"
import type { Reference } from "./reference.ts"
import type { RegistryLanes } from "./transfer/lanes.ts"
import type { MirrorTransport } from "./transport/mirrors.ts"
import { type Mirror, readSettings, readTls, Settings } from "./transport/settings.ts"
import { Transport, type TransportOptions } from "./transport/transport.ts"
import type { OnWarning } from "./transport/warnings.ts"

export interface ConnectOptions {
  /** HTTP without TLS, whatever the settings say. */
  readonly plainHttp?: boolean
  /** Reads go to the registry's mirrors first. Only for pulling: a push must see the registry itself. */
  readonly pulling?: boolean
  /** Standard error unless told. */
  readonly onWarning?: OnWarning
  /** Anonymous unless told. */
  readonly credentials?: Credentials
  /** None unless told (docs/registries.md): as they are, or the file that has them, read anew each time. */
  readonly settings?: Settings | string
  /** How many bodies a registry sends at a time, in common with others; its own unless told. */
  readonly lanes?: RegistryLanes
}

/**
 * The repository of `reference` as a store, with the credentials and settings given. No request is made before it is
 * used. Throws OVM_REFERENCE_INVALID without a host, OVM_SETTINGS_INVALID, OVM_FILE_UNREADABLE for a certificate.
 */
export async function connectRepository(
  reference: Reference,
  options: ConnectOptions = {},
): Promise<HttpStore> {
  if (reference.host !== undefined)
    return new HttpStore(await connectHost(reference.host, options), reference.repository)
  throw new OvmError("OVM_REFERENCE_INVALID", `${reference} has no registry host`, {
    hint: `write HOST/${reference}`,
  })
}

/**
 * A registry as a whole, with the credentials and settings given, and for pulling with its mirrors. No request is
 * made before it is used. Throws OVM_SETTINGS_INVALID, OVM_FILE_UNREADABLE for a certificate.
 */
export function connectHost(host: string, options: ConnectOptions = {}): Promise<Transport> {
  return guarded(async () => {
    const settings = await settingsOf(options)
    const mirrors = options.pulling ? (settings.for(host).mirrors ?? []) : []
    return new Transport(host, {
      ...(await transportOptions(host, settings, options)),
      ...(options.plainHttp !== undefined && { plainHttp: options.plainHttp }),
      mirrors: await Promise.all(mirrors.map((mirror) => openMirror(mirror, settings, options))),
    })
  })
}

async function settingsOf({ settings = new Settings() }: ConnectOptions): Promise<Settings> {
  return typeof settings === "string" ? await readSettings(settings) : settings
}

async function openMirror(
  { host, prefix, resolve }: Mirror,
  settings: Settings,
  options: ConnectOptions,
): Promise<MirrorTransport> {
  const transport = new Transport(host, await transportOptions(host, settings, options))
  return { transport, resolve, ...(prefix !== undefined && { prefix }) }
}

async function transportOptions(
  host: string,
  all: Settings,
  options: ConnectOptions,
): Promise<TransportOptions> {
  const settings = all.for(host)
  const tls = await readTls(settings)
  return {
    onWarning: options.onWarning ?? writeWarning,
    ...(options.credentials && { credentials: options.credentials }),
    ...(options.lanes && { lanes: options.lanes }),
    ...(settings.plainHttp !== undefined && { plainHttp: settings.plainHttp }),
    ...(settings.proxy !== undefined && { proxy: settings.proxy }),
    ...(settings.maxConcurrency !== undefined && { maxConcurrency: settings.maxConcurrency }),
    ...(settings.chunkBytes !== undefined && { chunkBytes: settings.chunkBytes }),
    ...(settings.tokenHosts && { tokenHosts: settings.tokenHosts }),
    ...(settings.allowPrivateRedirects && { allowPrivateRedirects: true }),
    ...(tls && { tls }),
  }
}

const written = new Set<string>()

/**
 * One line on standard error, once a process. What a registry sends ends up on a terminal, so only what can be printed.
 */
function writeWarning(host: string, text: string): void {
  const line = `warning: ${host}: ${text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, " ")}\n`
  if (written.has(line)) return
  written.add(line)
  process.stderr.write(line)
}
