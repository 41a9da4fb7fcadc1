import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs"
import type { Server } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { refusal } from "@ovms/testkit/disks.ts"
import { GREETING, ok, serveMonitor } from "./monitor.testing.ts"
import { connectQmp, QMP_SOCKET, type QmpEvent } from "./qmp.ts"

// A monitor that misbehaves in ways that QEMU cannot be made to.
const root = mkdtempSync(join(tmpdir(), "ovm-qmp-"))
afterAll(() => rmSync(root, { recursive: true }))

let count = 0

/** Serves one script a connection: the answer to each line that comes in, the first without being asked. */
async function monitor(greeting: string, answer: Parameters<typeof serveMonitor>[2]) {
  const directory = join(root, String(count++))
  mkdirSync(directory)
  servers.push(await serveMonitor(join(directory, QMP_SOCKET), greeting, answer))
  return directory
}
const servers: Server[] = []
afterAll(() => {
  for (const server of servers) server.close()
})

/** A monitor in a process of its own, which says why it ends and leaves. */
const LEAVES = `
const { createServer } = require("node:net")
createServer((socket) => {
  socket.write('{"QMP": {}}\\n')
  socket.on("data", (text) => {
    for (const line of text.toString().trim().split("\\n").map((line) => JSON.parse(line)))
      if (line.execute !== "leave") socket.write(JSON.stringify({ return: {}, id: line.id }) + "\\n")
      else socket.end('{"event": "SHUTDOWN", "data": {"reason": "guest-shutdown"}}\\n', () => {
        socket.destroy()
        socket.on("close", () => {
          require("node:fs").writeFileSync("left", "")
          process.exit()
        })
      })
  })
}).listen(${JSON.stringify(QMP_SOCKET)}, () => console.log("up"))
`

const timeoutMs = 200

describe("the QMP client", () => {
  let polite: string
  beforeAll(async () => {
    polite = await monitor(GREETING, (line, socket) => {
      if (line.execute === "refuse")
        socket.write(`{"error": {"class": "x", "desc": "no such thing"}, "id": ${line.id}}\n`)
      else if (line.execute === "split") {
        socket.write('{"event": "SHUTDOWN", "data": {"guest"')
        setTimeout(() => socket.write(`: true}}\n{"return": 7, "id": ${line.id}}\n`), 10)
      } else if (line.execute === "long") socket.write("x".repeat(5 << 20))
      else if (line.execute === "garbage") socket.write("[1]\n")
      else if (line.execute === "leave") socket.destroy()
      else if (line.execute !== "silence") ok(line, socket)
    })
  })
  const connect = async (onEvent?: (event: QmpEvent) => void) => {
    const qmp = await connectQmp(polite, { timeoutMs: 2000, ...(onEvent && { onEvent }) })
    if (!qmp) throw new Error("nothing listens")
    return qmp
  }

  test("nothing there is not an error: it may come", async () => {
    expect(await connectQmp(join(root, "nowhere"), { timeoutMs })).toBeUndefined()
    expect(await connectQmp(root, { timeoutMs })).toBeUndefined()
  })

  test("answers and events come whole, however they were cut", async () => {
    const events: QmpEvent[] = []
    const qmp = await connect((event) => events.push(event))
    expect(await qmp.execute("split")).toBe(7)
    expect(events).toEqual([{ event: "SHUTDOWN", data: { guest: true } }])
    qmp.close()
    await qmp.closed
  })

  test("a refusal is told in the monitor's words", async () => {
    const qmp = await connect()
    const error = await refusal(qmp.execute("refuse"))
    expect(error).toMatchObject({ code: "OVM_VMM_FAILED", message: "QEMU refused refuse: no such thing" })
    qmp.close()
  })

  test("silence ends in a time-out, and the connection stays usable", async () => {
    const qmp = await connect()
    const error = await refusal(qmp.execute("silence", {}, 50))
    expect(error).toMatchObject({
      code: "OVM_VMM_TIMEOUT",
      message: "QEMU did not answer silence within 50 ms",
    })
    expect(await qmp.execute("anything")).toEqual({})
    qmp.close()
  })

  for (const [what, words] of [
    ["long", "sent a line above"],
    ["garbage", "not QMP"],
    ["leave", "closed"],
  ] as const)
    test(`${what}: the connection is over for every command`, async () => {
      const qmp = await connect()
      const [first, second] = await Promise.all([refusal(qmp.execute(what)), refusal(qmp.execute("silence"))])
      for (const error of [first, second, await refusal(qmp.execute("more"))]) {
        expect(error.code).toBe("OVM_VMM_FAILED")
        expect(error.message).toContain(words)
      }
      await qmp.closed
    })

  // As a guest that powers off while its QEMU is being asked something.
  test("what the monitor said before it left is heard, also if it was written to meanwhile", async () => {
    const directory = join(root, "leaves")
    mkdirSync(directory)
    const server = spawn(process.execPath, ["-e", LEAVES], {
      cwd: directory,
      stdio: ["ignore", "pipe", "inherit"],
    })
    await once(server.stdout, "data")
    const events: QmpEvent[] = []
    const qmp = await connectQmp(directory, { timeoutMs: 2000, onEvent: (event) => events.push(event) })
    const asked = refusal(qmp?.execute("leave") ?? Promise.resolve())
    // Nothing is read here until it has gone.
    while (!existsSync(join(directory, "left")));
    const more = refusal(qmp?.execute("more") ?? Promise.resolve())
    expect([(await asked).code, (await more).code]).toEqual(["OVM_VMM_FAILED", "OVM_VMM_FAILED"])
    expect(events).toMatchObject([{ event: "SHUTDOWN", data: { reason: "guest-shutdown" } }])
    await once(server, "exit")
  })

  test("no greeting, or no consent, ends in a time-out", async () => {
    const silent = await monitor("", () => {})
    expect((await refusal(connectQmp(silent, { timeoutMs }))).code).toBe("OVM_VMM_TIMEOUT")
    const stubborn = await monitor(GREETING, () => {})
    expect((await refusal(connectQmp(stubborn, { timeoutMs }))).code).toBe("OVM_VMM_TIMEOUT")
  })

  test("a greeting that is none is refused", async () => {
    const web = await monitor("HTTP/1.1 400 Bad Request\r\n\r\n", () => {})
    const error = await refusal(connectQmp(web, { timeoutMs: 2000 }))
    expect(error).toMatchObject({ code: "OVM_VMM_FAILED" })
  })
})
