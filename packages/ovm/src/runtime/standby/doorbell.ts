import { createSocket, type Socket as Datagrams } from "node:dgram"
import { once } from "node:events"
import { connect, createServer, isIPv6, type Server, type Socket } from "node:net"
import { setTimeout as sleep } from "node:timers/promises"
import type { PortForward } from "../../network/forward.ts"

/** How long the ports of a machine that has just ended may still be open, and between two tries. */
const CLOSING_MS = 3000
const RETRY_MS = 2

/** The port's own address, or the host's loopback where it is all of them. */
function dialled(address: string): string {
  if (address === "0.0.0.0") return "127.0.0.1"
  return address === "::" ? "::1" : address
}

/** Who has rung waits here until there is a machine to be led to. */
interface Visitor {
  readonly socket: Socket
  readonly forward: PortForward
}

/**
 * Listens at the ports of a machine on standby. `onRing` is told of each connection and datagram; connections wait
 * until `lead` or `turnAway`, datagrams are lost.
 */
export class Doorbell {
  readonly #servers: (Server | Datagrams)[] = []
  readonly #visitors: Visitor[] = []
  #closed = false

  constructor(private readonly onRing: () => void) {}

  /** Gives the ports that could not be listened at. */
  async listen(forwards: readonly PortForward[]): Promise<readonly PortForward[]> {
    const failed: PortForward[] = []
    for (const forward of forwards) if (!(await this.#opened(forward))) failed.push(forward)
    return failed
  }

  /** What has carried the machine's network may be about to end. */
  async #opened(forward: PortForward): Promise<boolean> {
    const deadline = performance.now() + CLOSING_MS
    while (!this.#closed)
      try {
        await (forward.protocol === "tcp" ? this.#tcp(forward) : this.#udp(forward))
        return true
      } catch {
        if (performance.now() > deadline) return false
        await sleep(RETRY_MS)
      }
    return true
  }

  async #tcp(forward: PortForward): Promise<void> {
    const server = createServer({ pauseOnConnect: true, allowHalfOpen: true }, (socket) => {
      socket.on("error", () => socket.destroy())
      this.#visitors.push({ socket, forward })
      this.onRing()
    })
    server.listen({ host: forward.address, port: forward.host, exclusive: true })
    await once(server, "listening")
    server.on("error", () => {})
    this.#keep(server)
  }

  async #udp({ address, host }: PortForward): Promise<void> {
    const socket = createSocket(isIPv6(address) ? "udp6" : "udp4", this.onRing)
    socket.bind({ address, port: host, exclusive: true })
    await once(socket, "listening")
    socket.on("error", () => {})
    this.#keep(socket)
  }

  #keep(server: Server | Datagrams): void {
    if (this.#closed) server.close()
    else this.#servers.push(server)
  }

  /** Listens no more: the ports are free for whoever carries the machine's network. */
  close(): void {
    this.#closed = true
    for (const server of this.#servers.splice(0)) server.close()
  }

  /** The ports lead to the machine now, and so do the connections that have waited. */
  lead(): void {
    for (const { socket, forward } of this.#visitors.splice(0))
      carry(socket, { host: dialled(forward.address), port: forward.host })
  }

  /** There will be no machine. */
  turnAway(): void {
    for (const { socket } of this.#visitors.splice(0)) socket.resetAndDestroy()
  }
}

/** How long a guest that does not hear of a connection is told again, and how many bytes are kept to be said again. */
const PATIENCE_MS = 15_000
const MOST_KEPT = 64 << 10
const AGAIN_MS = 200

/**
 * Carries what `socket` says to the guest, and back. A connection that breaks before the guest has said anything is
 * begun anew, since its first packets may have been lost; one that the guest closes is not. One that is broken off is
 * so at its other end as well: what was cut is not to look whole.
 */
function carry(socket: Socket, to: { readonly host: string; readonly port: number }): void {
  const deadline = performance.now() + PATIENCE_MS
  const said: Buffer[] = []
  let [size, heard, over]: [number, boolean, boolean] = [0, false, false]
  let inner: Socket | undefined
  const dial = () => {
    const one = connect({ ...to, allowHalfOpen: true })
    inner = one
    for (const piece of said) one.write(piece)
    if (over) one.end()
    one.once("data", () => {
      heard = true
      said.length = 0
    })
    let broken = false
    one.on("error", () => {
      broken = true
    })
    one.on("drain", () => socket.resume())
    one.on("close", () => {
      one.unpipe(socket)
      const again = broken && !heard && size <= MOST_KEPT && performance.now() < deadline && !socket.destroyed
      if (again) setTimeout(dial, AGAIN_MS)
      else if (broken) socket.resetAndDestroy()
      else socket.destroySoon()
    })
    one.pipe(socket, { end: false })
    one.on("end", () => heard && socket.end())
  }
  socket.on("data", (piece: Buffer) => {
    size += piece.length
    if (!heard && size <= MOST_KEPT) said.push(piece)
    if (inner?.write(piece) === false) socket.pause()
  })
  socket.on("end", () => {
    over = true
    inner?.end()
  })
  socket.on("error", () => inner?.resetAndDestroy())
  socket.on("close", () => inner?.destroy())
  dial()
  socket.resume()
}
