import { OvmError } from "../errors.ts"
import { guarded } from "../files/guarded.ts"
import { readRegular } from "../files/regular.ts"
import { isLoopback } from "../registry/http/address.ts"
import { handle, type Registry } from "./handler.ts"

export interface ListenOptions {
  /** Host name or address to listen on. */
  readonly hostname: string
  /** 0 takes a free one. */
  readonly port: number
  /** Files in PEM. */
  readonly tls?: { readonly cert: string; readonly key: string } | undefined
  /** Told of every request that was answered. */
  readonly access?: ((entry: AccessEntry) => void) | undefined
}

export interface AccessEntry {
  readonly method: string
  /** Path and query. */
  readonly path: string
  readonly status: number
  /** To the head of the answer, in ms. */
  readonly ms: number
  readonly client: string
}

export interface RegistryServer extends AsyncDisposable {
  /** `HOST:PORT` */
  readonly address: string
  readonly url: string
  /** Breaks off what is going on; uploads stay as far as they have come. */
  close(): Promise<void>
}

/** Seconds without a byte after which a connection is given up. */
const IDLE = 120

/**
 * Serves `registry` over HTTP. Throws OVM_USAGE if the address is taken or cannot be listened on, or if
 * certificate and key do not fit, OVM_FILE_UNREADABLE.
 */
export function serveRegistry(registry: Registry, options: ListenOptions): Promise<RegistryServer> {
  return guarded(async () => {
    const tls = options.tls && {
      cert: await pem(options.tls.cert),
      key: await pem(options.tls.key),
    }
    const server = listen(registry, options, tls)
    const host = options.hostname.includes(":") ? `[${options.hostname}]` : options.hostname
    const address = `${host}:${server.port}`
    const close = () => server.stop(true)
    return { address, url: `${tls ? "https" : "http"}://${address}`, close, [Symbol.asyncDispose]: close }
  })
}

async function pem(path: string): Promise<string> {
  return new TextDecoder().decode(await readRegular(path, 1 << 20))
}

function listen(
  registry: Registry,
  { hostname, port, access }: ListenOptions,
  tls: { cert: string; key: string } | undefined,
): Bun.Server<undefined> {
  try {
    return Bun.serve({
      hostname,
      port,
      idleTimeout: IDLE,
      // Blobs are as large as they are; what is read into memory has limits of its own.
      maxRequestBodySize: Number.MAX_SAFE_INTEGER,
      ...(tls && { tls }),
      fetch: async (request, server) => {
        const started = performance.now()
        const client = server.requestIP(request)?.address ?? ""
        const patience = () => server.timeout(request, 0)
        const answer = await handle(registry, request, {
          address: client,
          near: isLoopback(hostOf(client)),
          patience,
        })
        server.timeout(request, IDLE)
        access?.(entry(request, answer, started, client))
        return answer
      },
      error: () => new Response(null, { status: 500 }),
    })
  } catch (cause) {
    throw refused(cause, `${hostname}:${port}`)
  }
}

/** An address as it stands in a URL; of one of IPv4 within IPv6, that. */
function hostOf(address: string): string {
  const plain = address.replace(/^::ffff:/, "")
  return plain.includes(":") ? `[${plain}]` : plain
}

function entry(request: Request, { status }: Response, started: number, client: string): AccessEntry {
  const { pathname, search } = new URL(request.url)
  const ms = Math.round(performance.now() - started)
  return { method: request.method, path: pathname + search, status, ms, client }
}

function refused(cause: unknown, address: string): OvmError {
  const { code, message } = cause as NodeJS.ErrnoException
  if (code === "EADDRINUSE")
    return new OvmError("OVM_USAGE", `another program listens on ${address}`, {
      cause,
      hint: "choose another --address; port 0 takes a free one",
    })
  return new OvmError("OVM_USAGE", `cannot listen on ${address}: ${message}`, { cause })
}
