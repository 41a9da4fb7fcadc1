import { expect, test } from "bun:test"
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { failure } from "../content/store.testing.ts"
import { lock, tryLock } from "./lock.ts"

async function withFile(run: (path: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "ovm-lock-"))
  try {
    await writeFile(join(folder, "lock"), "")
    await run(join(folder, "lock"))
  } finally {
    await rm(folder, { recursive: true })
  }
}

test("readers share, a writer is alone", () =>
  withFile(async (path) => {
    const one = await lock(path, "shared")
    const two = await lock(path, "shared")
    expect(tryLock(path, "exclusive")).toBeUndefined()
    one.release()
    two.release()
    two.release()
    using alone = await lock(path, "exclusive")
    expect(tryLock(path, "shared")).toBeUndefined()
    expect(alone).toBeDefined()
  }))

test("who waits in vain is told which file", () =>
  withFile(async (path) => {
    using _ = await lock(path, "exclusive")
    const error = await failure(lock(path, "shared", { timeoutMs: 20 }), "OVM_STORE_BUSY")
    expect(error.message).toContain(path)
  }))

test("waiting can be cancelled", () =>
  withFile(async (path) => {
    using _ = await lock(path, "exclusive")
    const stop = new AbortController()
    const waiting = lock(path, "shared", { signal: stop.signal })
    stop.abort()
    expect(waiting).rejects.toThrow(/abort/i)
  }))

test("a killed process holds nothing", () =>
  withFile(async (path) => {
    const code = `
      const { lock } = await import(${JSON.stringify(join(import.meta.dir, "lock.ts"))})
      await lock(${JSON.stringify(path)}, "exclusive")
      console.log("held")
      setInterval(() => {}, 1000)`
    const child = Bun.spawn([process.execPath, "-e", code], { stdout: "pipe", stderr: "inherit" })
    await child.stdout.getReader().read()
    expect(tryLock(path, "shared")).toBeUndefined()
    child.kill("SIGKILL")
    await child.exited
    using held = await lock(path, "exclusive")
    expect(held).toBeDefined()
  }))

const strace = Bun.which("strace")
if (!strace)
  console.log("SKIP packages/ovm/src/host/lock.test.ts, file systems without locks: strace is not installed")

// OVMS-API-154
test.skipIf(!strace).each(["ENOLCK", "EOPNOTSUPP", "ENOSYS"])(
  "a file system without locks is named at once: %s",
  (errno) =>
    withFile(async (path) => {
      const code = `
      const { lock } = await import(${JSON.stringify(join(import.meta.dir, "lock.ts"))})
      const { code, message, hint } = await lock(${JSON.stringify(path)}, "shared", { timeoutMs: 3_600_000 }).catch((error) => error)
      console.log(JSON.stringify({ code, message, hint }))`
      const tracing = [
        "-f",
        "-qq",
        "-o",
        "/dev/null",
        "-e",
        "trace=flock",
        "-e",
        `inject=flock:error=${errno}`,
      ]
      const child = Bun.spawn(["strace", ...tracing, process.execPath, "-e", code], {
        stdout: "pipe",
        stderr: "inherit",
      })
      expect(await new Response(child.stdout).json()).toEqual({
        code: "OVM_LOCK_UNSUPPORTED",
        message: expect.stringContaining(path),
        hint: expect.stringContaining("OVM_HOME="),
      })
    }),
)

test("a child process does not inherit the lock", () =>
  withFile(async (path) => {
    const held = await lock(path, "exclusive")
    const child = Bun.spawn(["sleep", "30"])
    held.release()
    using again = tryLock(path, "exclusive")
    expect(again).toBeDefined()
    child.kill("SIGKILL")
    await child.exited
  }))
