import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http"
import { createServer as createTlsServer } from "node:https"
import type { AddressInfo } from "node:net"
import { Repository } from "./content.ts"
import { type Manners, serve } from "./serve.ts"

/** One request as it came. */
export interface Seen {
  readonly method: string
  /** Without the query. */
  readonly path: string
}

/** With it TLS is spoken: both in PEM. */
export interface Tls {
  readonly key: string
  readonly cert: string
}

const BODY_LIMIT = 64 << 20

/** An OCI registry on a loopback port, in memory, which misbehaves as it is told. */
export class Registry {
  readonly seen: Seen[] = []
  readonly manners: Manners = { referrers: true, subjectHeader: true, page: 1000, fault: () => false }
  readonly repository = new Repository()
  /** Bytes of bodies that were handed to the system. */
  sent = 0
  #server: Server

  private constructor(tls?: Tls) {
    const listener = (request: IncomingMessage, response: ServerResponse) => {
      this.#answer(request, response).catch(() => response.destroy())
    }
    this.#server = tls ? createTlsServer(tls, listener) : createServer(listener)
  }

  static async start(tls?: Tls): Promise<Registry> {
    const registry = new Registry(tls)
    await new Promise<void>((resolve, reject) => {
      registry.#server.on("error", reject)
      registry.#server.listen(0, "127.0.0.1", resolve)
    })
    return registry
  }

  /** `127.0.0.1:PORT` */
  get host(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  /** The one repository that it has, with a tag or digest. */
  reference(name: string): string {
    return `${this.host}/suite/machine${name.startsWith("sha256:") ? "@" : ":"}${name}`
  }

  /** Of what was asked for, what has this in its path. */
  asked(method: RegExp, path: string): readonly Seen[] {
    return this.seen.filter((seen) => method.test(seen.method) && seen.path.includes(path))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  /** Ends all connections. */
  drop(): void {
    this.#server.closeAllConnections()
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    response.on("error", () => {})
    const url = new URL(request.url ?? "/", `http://${this.host}`)
    const method = request.method ?? "GET"
    this.seen.push({ method, path: url.pathname })
    if (this.manners.fault(request, response, url.pathname)) return
    await serve(this, { method, url, request, response, body: () => bodyOf(request) })
  }
}

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of request) {
    size += (chunk as Buffer).length
    if (size > BODY_LIMIT) throw new Error("the body is too large")
    chunks.push(chunk as Buffer)
  }
  return Buffer.concat(chunks)
}
