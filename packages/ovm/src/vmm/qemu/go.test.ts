import { afterAll, beforeAll, expect, test } from "bun:test"
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import type { Server } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { refusal } from "@ovms/testkit/disks.ts"
import { letBegin } from "./go.ts"
import { serveShortGuest } from "./monitor.testing.ts"
import { dialQmp, QMP_SOCKET } from "./qmp.ts"
import { GuestWatch } from "./watch.ts"

// QEMU that ends before it has answered `cont`, in ways that it does only on a host that is busy just then.

let directory: string
let server: Server
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "ovm-go-"))
})
afterAll(() => rm(directory, { recursive: true }))

/** A monitor that may greet, and ends when it is told to let its guest run. QEMU leaves `exit` then, if it ends. */
async function begun({ greets, exit }: { greets: boolean; exit?: string }): Promise<void> {
  server = await serveShortGuest(join(directory, QMP_SOCKET), { greets })
  await rm(join(directory, "exit"), { force: true })
  if (exit !== undefined) await writeFile(join(directory, "exit"), exit)
  try {
    const qmp = await dialQmp(directory, { timeoutMs: 10_000 })
    if (!qmp) throw new Error("nobody listens")
    await letBegin(qmp, new GuestWatch(), { directory })
  } finally {
    await new Promise((resolve) => server.close(resolve))
  }
}

test("a guest that has ended by the time that QEMU would answer has run [OVMS-STA-047]", async () => {
  await begun({ greets: true, exit: "3\n" })
  expect(server.listening).toBe(false)
})

test("a monitor that closes is no end of QEMU, and QEMU that never greeted has not started", async () => {
  for (const how of [{ greets: true }, { greets: false, exit: "1\n" }])
    expect((await refusal(begun(how))).code).toBe("OVM_VMM_FAILED")
})
