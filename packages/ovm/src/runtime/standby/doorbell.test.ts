import { expect, test } from "bun:test"
import { once } from "node:events"
import { type AddressInfo, connect, createServer, type Socket } from "node:net"
import type { PortForward } from "../../network/forward.ts"
import { Doorbell } from "./doorbell.ts"

/** A doorbell at a port of this host, in whose place `serve` is led to; who has rung, and what they hear. */
async function rung(serve: (socket: Socket, time: number) => void) {
  const free = createServer().listen(0, "127.0.0.1")
  await once(free, "listening")
  const { port } = free.address() as AddressInfo
  await new Promise((resolve) => free.close(resolve))
  const rang = Promise.withResolvers<void>()
  const doorbell = new Doorbell(rang.resolve)
  const forward = { protocol: "tcp", address: "127.0.0.1", host: port, guest: 80 } as PortForward
  expect(await doorbell.listen([forward])).toEqual([])
  const visitor = connect({ port, host: "127.0.0.1" })
  visitor.write("hello")
  await rang.promise
  doorbell.close()
  let times = 0
  const guest = createServer((socket) =>
    serve(
      socket.on("error", () => {}),
      times++,
    ),
  )
  guest.listen(port, "127.0.0.1")
  await once(guest, "listening")
  doorbell.lead()
  let heard = ""
  visitor.on("data", (bytes) => {
    heard += bytes
  })
  const end = await new Promise((resolve) =>
    visitor.on("end", () => resolve("ended")).on("error", ({ code }: NodeJS.ErrnoException) => resolve(code)),
  )
  visitor.destroy()
  guest.close()
  return { heard, end }
}

test("a guest that does not hear of a visitor at first is told again, without a trace (OVMS-STA-063)", async () => {
  const warnings: string[] = []
  const note = ({ message }: Error) => warnings.push(message)
  process.on("warning", note)
  const serve = (socket: Socket, time: number) => {
    if (time < 12) socket.resetAndDestroy()
    else socket.on("data", (bytes) => socket.end(`${bytes} again`))
  }
  expect(await rung(serve)).toEqual({ heard: "hello again", end: "ended" })
  expect(warnings).toEqual([])
  process.off("warning", note)
}, 60_000)

test("what a guest breaks off does not look whole", async () => {
  const serve = (socket: Socket) => {
    socket.on("data", () => socket.write("half"))
    setTimeout(() => socket.resetAndDestroy(), 300)
  }
  expect(await rung(serve)).toEqual({ heard: "half", end: "ECONNRESET" })
}, 60_000)
