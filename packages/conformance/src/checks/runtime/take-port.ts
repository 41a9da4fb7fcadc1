import { createServer, type Server } from "node:net"

/** A server that has this port of the loopback; undefined if somebody else has it. */
export function takePort(port: number): Promise<Server | undefined> {
  const server = createServer()
  return new Promise((resolve) => {
    server.once("error", () => resolve(undefined))
    server.listen(port, "127.0.0.1", () => resolve(server))
  })
}
