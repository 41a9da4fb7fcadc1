import { afterAll, expect, test } from "bun:test"
import { once } from "node:events"
import { rmSync } from "node:fs"
import { connect, createServer, type Server, type Socket } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { QgaSession } from "./session.ts"

// What a guest may say in the place of QEMU's guest agent, which anything in it may be.

type Says = (command: string, values: Record<string, unknown>) => unknown

const SOCKET = join(tmpdir(), `ovm-qga-${process.pid}.sock`)
const servers: Server[] = []
afterAll(() => {
  for (const server of servers) server.close()
  rmSync(SOCKET, { force: true })
})

/** One who begins well and then says what `says` gives: JSON of it, or bytes as they are. */
async function impostor(says: Says, before = ""): Promise<Socket> {
  rmSync(SOCKET, { force: true })
  const server = createServer((socket) => {
    let rest = ""
    socket.on("error", () => {})
    socket.write(before)
    socket.setEncoding("latin1").on("data", (text: string) => {
      const lines = (rest + text).split("\n")
      rest = lines.pop() ?? ""
      for (const line of lines) answer(socket, line.replace(/^\xff/, ""))
    })
  }).listen(SOCKET)
  const answer = (socket: Socket, line: string) => {
    const { execute, arguments: values } = JSON.parse(line)
    if (execute === "guest-sync-delimited")
      return void socket.write(`\xff{"return": ${values.id}}\n`, "latin1")
    const first: Record<string, unknown> = {
      "guest-info": { version: "1.0" },
      "guest-fsfreeze-status": "thawed",
    }
    const said = Object.hasOwn(first, execute) ? { return: first[execute] } : says(execute, values)
    if (typeof said === "string") socket.write(said)
    else if (said !== undefined) socket.write(`${JSON.stringify(said)}\n`)
  }
  servers.push(server)
  await once(server, "listening")
  return connect(SOCKET)
}

async function session(says: Says, before = ""): Promise<QgaSession> {
  const opened = await QgaSession.open(await impostor(says, before), AbortSignal.timeout(10_000))
  if (!opened) throw new Error("it was not taken for one")
  return opened
}

const ending = async (says: Says, texts = ["exec", "argument=true"]) =>
  await (await session(says)).do(texts).ending
const good: Says = (command) => {
  if (command === "guest-exec") return { return: { pid: 7 } }
  if (command === "guest-exec-status")
    return { return: { exited: true, exitcode: 0, "out-data": "L3RtcC94Cg==" } }
  if (command === "guest-file-read") return { return: { count: 0, "buf-b64": "", eof: true } }
  return { return: command === "guest-file-open" ? 1 : {} }
}

test("what comes before its answer is passed over, however much it is [OVMS-AGT-122]", async () => {
  const noise = `{"return": 1}\nhello\n${"x".repeat(1 << 20)}`
  const opened = await session(good, noise)
  expect(opened.who).toEqual({ name: "qemu-guest-agent", version: "1.0" })
  expect(await opened.do(["exec", "argument=true"]).ending).toEqual({ status: 0 })
  opened.close()
})

test.each<[string, Says, string]>([
  ["a line without an end", () => "x".repeat(600_000), "it says more than it was asked"],
  ["what is no JSON", () => "hello\n", "it says what is no answer"],
  [
    "two answers",
    () => '{"return": {}}\n{"return": {}}\n{"return": {}}\n',
    "it answers what it was not asked",
  ],
  ["neither result nor error", () => ({ result: 1 }), "it says what is no answer"],
])("%s is the end of it [OVMS-AGT-122]", async (_, says, why) => {
  const opened = await session(says)
  await expect(opened.do(["freeze"]).ending).rejects.toMatchObject({ code: "OVM_AGENT_UNAVAILABLE" })
  expect(await opened.closed).toBe(why)
  expect(() => opened.do(["exec", "argument=true"])).toThrow("does not answer any more")
})

const but =
  (command: string, value: unknown): Says =>
  (asked, values) =>
    asked === command ? { return: value } : good(asked, values)

test.each<[string, Says, RegExp]>([
  ["no process", but("guest-exec", { pid: "seven" }), /no process/],
  ["a process that is every one", but("guest-exec", { pid: -1 }), /no process/],
  ["no state of a process", but("guest-exec-status", []), /nothing of the process/],
  ["a folder that is none", but("guest-exec-status", { exited: true, exitcode: 0 }), /no room/],
  ["no file", but("guest-file-open", "one"), /not opened/],
  ["more than a file was asked for", but("guest-file-read", { "buf-b64": "A".repeat(200_000) }), /not asked/],
  ["no bytes", but("guest-file-read", { count: 5 }), /not asked/],
  [
    "an error",
    (asked) => (asked === "guest-exec" ? { error: { desc: "disabled" } } : { return: {} }),
    /^disabled$/,
  ],
])("%s: a command is refused, and the next one asked for [OVMS-AGT-122]", async (_, says, why) => {
  const opened = await session(says)
  expect(await opened.do(["exec", "argument=true"]).ending).toEqual({ refused: expect.stringMatching(why) })
  expect(await opened.do(["hooks", "event=link-up"]).ending).toEqual({
    refused: expect.stringMatching(/hooks/),
  })
  opened.close()
})

test("a status is one of a process, whatever it says; one that says nothing is found out", async () => {
  const state = (how: object) => (command: string, values: Record<string, unknown>) => {
    const found = good(command, values) as { return: object }
    return command === "guest-exec-status" ? { return: { ...found.return, ...how } } : found
  }
  expect(await ending(state({ exitcode: 0 }))).toEqual({ status: 0 })
  const silent = await session((command, values) =>
    command === "guest-ping" ? undefined : good(command, values),
  )
  expect(await silent.answers(100)).toBe(false)
  silent.close()
  expect(await silent.answers(100)).toBe(false)
})

test("what nobody reads is not asked for, and what is to end does end [OVMS-AGT-123, OVMS-AGT-124]", async () => {
  let reads = 0
  const piece = { count: 96 << 10, "buf-b64": Buffer.alloc(96 << 10).toString("base64") }
  const opened = await session((command, values) => {
    if (command !== "guest-file-read") return good(command, values)
    reads++
    return { return: piece }
  })
  const stream = opened.do(["exec", "argument=yes"])
  await stream.output().next()
  await Bun.sleep(300)
  expect(reads).toBeLessThan(6)
  stream.kill()
  opened.close()
  await expect(stream.ending).rejects.toMatchObject({ code: "OVM_AGENT_UNAVAILABLE" })
})
