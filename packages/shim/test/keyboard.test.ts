import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test"
import { once } from "node:events"
import { readFileSync, statSync } from "node:fs"
import { createConnection, type Socket } from "node:net"
import { join } from "node:path"
import { Random } from "@ovms/testkit/random.ts"
import { until } from "@ovms/testkit/until.ts"
import { keptConsole, Workshop } from "./keeper.testing.ts"

setDefaultTimeout(240_000)

let workshop: Workshop
beforeAll(() => {
  workshop = new Workshop()
})
afterAll(() => workshop[Symbol.dispose]())

/** Connects, and waits for its greeting. */
async function typist(directory: string): Promise<{ socket: Socket; greeting: string }> {
  const path = join(directory, "console.sock")
  await until("its socket", () => statSync(path, { throwIfNoEntry: false }) !== undefined)
  const socket = createConnection(path)
  socket.on("error", () => {})
  const [greeting] = await once(socket, "data")
  return { socket, greeting: String(greeting) }
}

/** Waits until all of it is taken. */
function type(socket: Socket, bytes: Uint8Array | string): Promise<void> {
  return new Promise((resolve) => socket.write(bytes, () => resolve()))
}

test("what is typed comes to the VMM, byte for byte, however slowly it reads", async () => {
  const random = new Random(2)
  const pieces = Array.from({ length: 300 }, () => {
    const piece = Buffer.alloc(random.below([3, 100, 20_000][random.below(3)] ?? 3))
    for (let at = 0; at < piece.length; at++) piece[at] = random.below(256)
    return piece
  })
  const all = Buffer.concat(pieces)
  const script = `sleep 0.3; exec head -c ${all.length}`
  const { directory, ended, text } = workshop.start(["sh", "-c", script], { segment: all.length })
  const { socket, greeting } = await typist(directory)
  expect(greeting).toBe("ok\n")
  expect(statSync(join(directory, "console.sock")).mode & 0o777).toBe(0o600)
  for (const piece of pieces) {
    if (piece.length > 0) await type(socket, piece)
    if (random.below(20) === 0) await Bun.sleep(1)
  }
  expect(await ended).toEqual({ code: 0, said: "" })
  expect(keptConsole(directory).bytes.equals(all)).toBe(true)
  expect(text("exit")).toBe("0  \n")
  await until("the connection's end", () => socket.destroyed || socket.readableEnded)
})

test("one at a time types, and the next one once that has gone", async () => {
  const machine = workshop.start(["cat"])
  const first = await typist(machine.directory)
  for (let times = 0; times < 200; times++) {
    const { socket, greeting } = await typist(machine.directory)
    expect(greeting).toBe("busy\n")
    socket.destroy()
  }
  await type(first.socket, "first ")
  await until("its echo", () => keptConsole(machine.directory).bytes.toString() === "first ")
  for (let times = 0; times < 200; times++) {
    first.socket.destroy()
    const next = await typist(machine.directory)
    expect(next.greeting).toBe("ok\n")
    first.socket = next.socket
  }
  await type(first.socket, "next")
  await until("its echo", () => keptConsole(machine.directory).bytes.toString() === "first next")
  await machine.kill()
})

test("a VMM that does not read holds up nobody: not its own words, and not the next who types", async () => {
  const script = "while :; do echo tick; sleep 0.02; done"
  const machine = workshop.start(["sh", "-c", script], { segment: 1 << 20 })
  for (let times = 0; times < 5; times++) {
    const { socket, greeting } = await typist(machine.directory)
    expect(greeting).toBe("ok\n")
    socket.write(Buffer.alloc(1 << 20))
    await Bun.sleep(20)
    const { length } = keptConsole(machine.directory).bytes
    await until("a further word", () => keptConsole(machine.directory).bytes.length > length)
    socket.destroy()
    await Bun.sleep(20)
  }
  await machine.kill()
})

test("a VMM that has closed its input costs nothing", async () => {
  const machine = workshop.start(["sh", "-c", "exec sleep 60 <&-"])
  const { socket } = await typist(machine.directory)
  await until(
    "its VMM",
    () => statSync(join(machine.directory, "pid"), { throwIfNoEntry: false }) !== undefined,
  )
  await Bun.sleep(100)
  for (let times = 0; times < 100; times++) await type(socket, "x".repeat(10_000))
  const before = ticks(machine.pid)
  await Bun.sleep(500)
  expect(ticks(machine.pid) - before).toBeLessThan(5)
  await machine.kill()
})

/** CPU time in hundredths of a second. */
function ticks(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "latin1").split(") ")[1]?.split(" ") ?? []
  return Number(fields[11]) + Number(fields[12])
}
