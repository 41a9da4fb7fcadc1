import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test"
import { spawn } from "node:child_process"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { serveShortGuest } from "../qemu/monitor.testing.ts"

// The adapters of examples/, whose QEMU ends before it has answered `cont`, as it does on a busy host.
setDefaultTimeout(60_000)

const ROOT = join(import.meta.dir, "../../../../..")
/** What runs the one in TypeScript, too. */
const PATH = `${join(ROOT, "node_modules/.bin")}:${process.env.PATH}`

if (!Bun.which("python3"))
  console.log("SKIP packages/ovm/src/vmm/exec/short-guest.test.ts: python3 is not installed")

let directory: string
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "ovm-short-"))
})
afterAll(() => rm(directory, { recursive: true }))

/** What an adapter answers to `start` where the monitor ends at `cont`. */
async function started(program: string): Promise<unknown> {
  const server = await serveShortGuest(join(directory, "monitor.sock"))
  const path = join(ROOT, "examples/adapters", program)
  const child = spawn(path, { stdio: ["pipe", "pipe", "inherit"], env: { ...process.env, PATH } })
  try {
    child.stdin.write(`${JSON.stringify({ id: 1, verb: "start", directory })}\n`)
    for await (const line of createInterface({ input: child.stdout })) {
      const { id, ...answer } = JSON.parse(line)
      if (id === 1) return answer
    }
    return undefined
  } finally {
    child.kill("SIGKILL")
    await new Promise((resolve) => server.close(resolve))
  }
}

test.skipIf(!Bun.which("python3"))("in Python: a guest that has ended by then has run", async () => {
  expect(await started("python/ovm-vmm-pyqemu")).toMatchObject({ result: { running: true } })
})

test("in TypeScript: a guest that has ended by then has run", async () => {
  expect(await started("typescript/ovm-vmm-microvm")).toMatchObject({ result: { running: true } })
})
