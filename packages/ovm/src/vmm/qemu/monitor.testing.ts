import { createServer, type Server, type Socket } from "node:net"

export const GREETING = '{"QMP": {"version": {}}}\r\n'

/** One command of a client's. */
export interface Command {
  readonly execute: string
  readonly id: number
}

type Answer = (command: Command, socket: Socket) => void

export const ok: Answer = ({ id }, socket) => void socket.write(`{"return": {}, "id": ${id}}\r\n`)

/** A monitor at `path` that does what QEMU cannot be made to: `greeting` to each client, `answer` to each line. */
export async function serveMonitor(path: string, greeting: string, answer: Answer): Promise<Server> {
  const server = createServer((socket) => {
    socket.on("error", () => {})
    socket.write(greeting)
    socket.on("data", (text) => {
      for (const line of text.toString().trim().split("\n")) answer(JSON.parse(line), socket)
    })
  })
  await new Promise<void>((resolve) => server.listen(path, resolve))
  return server
}

/** One that ends when it is told to let its guest run. */
export function serveShortGuest(path: string, { greets = true } = {}): Promise<Server> {
  return serveMonitor(path, greets ? GREETING : "", (command, socket) => {
    if (command.execute === "cont") socket.destroy()
    else if (greets) ok(command, socket)
  })
}
