import { connect as connectPlainly, isIP, type Socket } from "node:net"
import { connect as connectSecurely } from "node:tls"

// The connections of one thread, of which it uses one at a time (docs/design/0011-transfer.md).

/** Whom to connect to, and whom to trust there. */
export interface Endpoint {
  /** A name or an address, as a certificate has it. */
  readonly host: string
  readonly port: number
  /** How its certificate is judged, and what it is shown of ours, in PEM; undefined where TLS is not spoken. */
  readonly tls?: { readonly ca?: readonly string[]; readonly cert?: string; readonly key?: string }
  /** Of that, a name: there may be hundreds of certificates in it. */
  readonly trust?: string
}

/** What the last piece came over, while nobody uses it. */
let kept: { readonly to: string; readonly socket: Socket } | undefined

/** A connection to `endpoint`, its certificate judged; undefined if there is none to be had within `timeoutMs`. */
export async function connectionTo(endpoint: Endpoint, timeoutMs: number): Promise<Socket | undefined> {
  const { host, port, tls } = endpoint
  const old = take()
  if (old?.to === nameOf(endpoint) && !old.socket.destroyed) return old.socket
  old?.socket.destroy()
  const connected = Promise.withResolvers<boolean>()
  const socket = tls
    ? connectSecurely({ ...mutable(tls), host, port, ...(isIP(host) === 0 && { servername: host }) })
    : connectPlainly({ host, port })
  // Heard for as long as it lives: whoever reads from it is told by the end of it.
  socket.on("error", () => {})
  socket.once(tls ? "secureConnect" : "connect", () => connected.resolve(true))
  socket.once("close", () => connected.resolve(false))
  const timer = setTimeout(() => connected.resolve(false), timeoutMs)
  const open = await connected.promise
  clearTimeout(timer)
  if (open) return socket
  socket.destroy()
  return undefined
}

/** Keeps the connection for the next piece from `endpoint`, unless something comes that nobody asked for. */
export function keep(endpoint: Endpoint, socket: Socket): void {
  drop()
  kept = { to: nameOf(endpoint), socket }
  socket.on("data", drop)
  socket.on("close", drop)
}

function take(): typeof kept {
  const old = kept
  kept = undefined
  old?.socket.off("data", drop)
  old?.socket.off("close", drop)
  return old
}

function drop(): void {
  take()?.socket.destroy()
}

function nameOf({ host, port, trust = "" }: Endpoint): string {
  return [host, port, trust].join()
}

function mutable({ ca, ...mine }: NonNullable<Endpoint["tls"]>): {
  ca?: string[]
  cert?: string
  key?: string
} {
  return { ...mine, ...(ca && { ca: [...ca] }) }
}
