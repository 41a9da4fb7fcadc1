import { connect, createServer, type Socket } from "node:net"

/** What came in, in order: `CONNECT host:port` or `GET http://…`. */
export interface Proxied {
  readonly line: string
  readonly authorization: string | undefined
}

export interface Proxy extends AsyncDisposable {
  /** `http://127.0.0.1:PORT` */
  readonly url: string
  readonly seen: readonly Proxied[]
}

/**
 * A forward proxy as companies have them: CONNECT and absolute-form requests. `hosts` maps `host:port` to where it
 * really is.
 */
export async function startProxy(hosts: Readonly<Record<string, string>> = {}): Promise<Proxy> {
  const seen: Proxied[] = []
  const sockets = new Set<Socket>()
  const server = createServer((client) => {
    sockets.add(client)
    client.on("close", () => sockets.delete(client))
    client.on("error", () => client.destroy())
    let head = Buffer.alloc(0)
    const read = (chunk: Buffer) => {
      head = Buffer.concat([head, chunk])
      const end = head.indexOf("\r\n\r\n")
      if (end < 0) return
      client.off("data", read)
      client.pause()
      forward(client, head.subarray(0, end).toString("latin1"), head.subarray(end + 4))
    }
    client.on("data", read)
  })

  function forward(client: Socket, text: string, rest: Buffer): void {
    const [line = "", ...fields] = text.split("\r\n")
    const [method = "", target = ""] = line.split(" ")
    const authorization = fields.find((field) => /^proxy-authorization:/i.test(field))?.split(": ")[1]
    seen.push({ line: `${method} ${target}`, authorization })
    const url = new URL(method === "CONNECT" ? `http://${target}` : target)
    const named = `${url.hostname}:${url.port || (method === "CONNECT" ? 443 : 80)}`
    const [host = "", port = ""] = (hosts[named] ?? named).split(":")
    const upstream = connect(Number(port), host)
    sockets.add(upstream)
    upstream.on("error", () => client.end("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n"))
    upstream.on("close", () => client.destroy())
    client.on("close", () => upstream.destroy())
    upstream.on("connect", () => {
      if (method === "CONNECT") client.write("HTTP/1.1 200 OK\r\n\r\n")
      else {
        // One request a connection, so that the next one is seen here as well.
        const kept = fields.filter((field) => !/^(proxy-|connection:)/i.test(field))
        upstream.write(
          `${[`${method} ${url.pathname}${url.search} HTTP/1.1`, ...kept, "Connection: close"].join("\r\n")}\r\n\r\n`,
        )
      }
      upstream.write(rest)
      client.pipe(upstream)
      upstream.pipe(client)
    })
  }

  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const address = server.address()
  return {
    url: `http://127.0.0.1:${typeof address === "object" ? address?.port : 0}`,
    seen,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy()
      server.close()
    },
  }
}
