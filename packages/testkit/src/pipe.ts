import { connect, createServer, type Socket } from "node:net"

/** What happens to one connection on its way through. Counts are bytes of what the server sends. */
export interface Mishap {
  /** The connection is reset after so many bytes, in either direction. */
  readonly cutAfter?: number
  /** From here on nothing passes any more, and the connection stays open. */
  readonly silentAfter?: number
}

export interface Pipe extends AsyncDisposable {
  readonly host: string
  /** Bytes that went to clients so far, of all connections. */
  readonly down: number
  /** Bytes that clients sent. */
  readonly up: number
  /** Asked for each new connection. */
  mishap: (connection: number) => Mishap
  /** Resets all connections that there are. */
  cut(): void
}

/** A wire between clients and the server `upstream` (`HOST:PORT`) that counts what passes and can be cut. */
export async function startPipe(upstream: string): Promise<Pipe> {
  const [hostname = "", port = ""] = upstream.split(":")
  const sockets = new Set<Socket>()
  const counts = { down: 0, up: 0, connections: 0 }
  let mishap: (connection: number) => Mishap = () => ({})
  const keep = (socket: Socket) => {
    sockets.add(socket)
    socket.on("close", () => sockets.delete(socket))
  }
  const server = createServer((client) => {
    const { cutAfter = Infinity, silentAfter = Infinity } = mishap(counts.connections++)
    const target = connect(Number(port), hostname)
    keep(client)
    keep(target)
    let passed = 0
    const pass = (from: Socket, to: Socket, direction: "down" | "up") => {
      from.on("data", (chunk: Buffer) => {
        const room = Math.max(0, Math.min(cutAfter, silentAfter) - passed)
        const part = chunk.subarray(0, room)
        passed += chunk.byteLength
        counts[direction] += part.byteLength
        if (part.byteLength > 0 && !to.write(part)) {
          from.pause()
          to.once("drain", () => from.resume())
        }
        if (passed > cutAfter) {
          client.resetAndDestroy()
          target.destroy()
        }
      })
      from.on("error", () => to.destroy())
      from.on("end", () => to.end())
      from.on("close", () => to.destroySoon())
    }
    pass(target, client, "down")
    pass(client, target, "up")
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const address = server.address()
  const cut = () => {
    for (const socket of sockets) socket.resetAndDestroy()
  }
  return {
    host: `127.0.0.1:${typeof address === "object" ? address?.port : 0}`,
    get down() {
      return counts.down
    },
    get up() {
      return counts.up
    },
    get mishap() {
      return mishap
    },
    set mishap(next) {
      mishap = next
    },
    cut,
    async [Symbol.asyncDispose]() {
      cut()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
