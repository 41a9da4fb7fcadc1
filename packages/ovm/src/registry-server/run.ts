import { openToRead } from "../content/layout/reading.ts"
import { type OvmError, toOvmError } from "../errors.ts"
import { type OpenFolder, openFolder } from "./folder/open.ts"
import type { UploadLimits } from "./folder/uploads.ts"
import type { Registry } from "./handler.ts"
import { Htpasswd } from "./htpasswd.ts"
import { type ListenOptions, type RegistryServer, serveRegistry } from "./serve.ts"
import { openStoreView } from "./view/view.ts"

export interface RegistryServerOptions extends ListenOptions {
  /** A registry's own folder, or a content store that is only read. */
  readonly source: { readonly root: string; readonly readOnly: boolean } | { readonly store: string }
  /** File of users and bcrypt hashes; without it nobody is asked. */
  readonly htpasswd?: string | undefined
  readonly log: (error: OvmError) => void
  /** How long an upload lives that nobody goes on with, in ms; five minutes unless told. */
  readonly uploadExpiryMs?: number
  /** And a blob that no manifest names; 24 hours unless told. */
  readonly blobExpiryMs?: number
  /** What unfinished uploads may take. */
  readonly uploads?: UploadLimits
  /** Time between two sweeps, in ms; an hour unless told. */
  readonly sweepMs?: number
}

const MINUTE = 60 * 1000
const HOUR = 60 * MINUTE

/** Opens what is to be served and serves it until the server is closed. Throws as the parts do. */
export async function startRegistry(options: RegistryServerOptions): Promise<RegistryServer> {
  const htpasswd = options.htpasswd === undefined ? undefined : await Htpasswd.open(options.htpasswd)
  const opened = await open(options)
  const sweeping = opened.folder && sweepRegularly(opened.folder, options)
  const end = async () => {
    await sweeping?.end()
    await opened.folder?.[Symbol.asyncDispose]()
  }
  try {
    const authorize = htpasswd && ((request: Request) => htpasswd.authorize(request))
    const server = await serveRegistry({ ...opened.registry, authorize }, options)
    const close = async () => {
      await server.close()
      await end()
    }
    return { ...server, close, [Symbol.asyncDispose]: close }
  } catch (error) {
    await end()
    throw error
  }
}

async function open({
  source,
  log,
  uploadExpiryMs,
  blobExpiryMs,
  uploads,
}: RegistryServerOptions): Promise<{ registry: Registry; folder?: OpenFolder }> {
  if ("store" in source) {
    // A host without images has a store without names.
    await (await openToRead(source.store)).close()
    return { registry: { content: await openStoreView(source.store), log } }
  }
  const { root, readOnly } = source
  const folder = await openFolder(root, {
    readOnly,
    ...(uploadExpiryMs !== undefined && { uploadExpiryMs }),
    ...(blobExpiryMs !== undefined && { blobExpiryMs }),
    ...(uploads && { uploads }),
  })
  const content = folder.folder
  return readOnly
    ? { registry: { content, log }, folder }
    : { registry: { content, writable: content, log }, folder }
}

function sweepRegularly(
  folder: OpenFolder,
  { log, sweepMs = HOUR }: RegistryServerOptions,
): { end(): Promise<void> } {
  const sweeping = regularly(sweepMs, () => folder.sweep(), log)
  const expiring = regularly(Math.min(sweepMs, MINUTE), () => folder.expire(), log)
  return {
    end: async () => {
      await sweeping.end()
      await expiring.end()
    },
  }
}

function regularly(
  ms: number,
  work: () => Promise<void>,
  log: (error: OvmError) => void,
): { end(): Promise<void> } {
  let running: Promise<void> = Promise.resolve()
  let timer: ReturnType<typeof setTimeout> | undefined
  const again = () => {
    timer = setTimeout(() => {
      running = work()
        .catch((error) => log(toOvmError(error)))
        .then(() => timer && again())
    }, ms)
  }
  again()
  return {
    end: () => {
      clearTimeout(timer)
      timer = undefined
      return running
    },
  }
}
