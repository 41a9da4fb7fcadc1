import { expect, test } from "bun:test"
import { spawnSync } from "node:child_process"
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { digestOf, hexOf } from "../digest.ts"
import { collect, describeBytes } from "../store.testing.ts"
import { collectGarbage } from "./gc.ts"
import { openLayout } from "./store.ts"

const SIZE = 1 << 20
const BYTES = new Uint8Array(SIZE).fill(7)

async function inStore(run: (root: string) => Promise<void>): Promise<void> {
  const root = await mkdtemp(join(tmpdir(), "ovm-crash-"))
  try {
    await (await openLayout(root, { create: true })).close()
    await run(root)
  } finally {
    await rm(root, { recursive: true })
  }
}

/** A process that pushes the megabyte above; \`pause\` is what it does after its first half. */
function pusher(root: string, pause: string): string[] {
  const code = `
    const { openLayout } = await import(${JSON.stringify(join(import.meta.dir, "store.ts"))})
    const { describeBytes } = await import(${JSON.stringify(join(import.meta.dir, "../store.testing.ts"))})
    const bytes = new Uint8Array(${SIZE}).fill(7)
    await using store = await openLayout(${JSON.stringify(root)})
    await store.push(describeBytes(bytes), (async function* () {
      yield bytes.subarray(0, ${SIZE / 2})
      ${pause}
      yield bytes.subarray(${SIZE / 2})
    })())
    console.log("stored")`
  return [process.execPath, "-e", code]
}

test("kill -9 in the middle of a push leaves no blob, and the next collection clears up", () =>
  inStore(async (root) => {
    const pause = 'console.log("half"); await new Promise((resolve) => setTimeout(resolve, 60_000))'
    const child = Bun.spawn(pusher(root, pause), { stdout: "pipe", stderr: "inherit" })
    await child.stdout.getReader().read()
    // As long as it lives, it is let alone.
    await collectGarbage(root)
    expect(await readdir(join(root, "ovm/ingest"))).toHaveLength(1)
    expect(await readdir(join(root, "ovm/leases"))).toHaveLength(1)
    child.kill("SIGKILL")
    await child.exited
    expect(await readdir(join(root, "blobs/sha256"))).toEqual([])
    await collectGarbage(root)
    expect(await readdir(join(root, "ovm/ingest"))).toEqual([])
    expect(await readdir(join(root, "ovm/leases"))).toEqual([])
    // And the same again succeeds.
    const again = Bun.spawn(pusher(root, ""), { stdout: "pipe", stderr: "inherit" })
    expect(await again.exited).toBe(0)
    expect(await readdir(join(root, "blobs/sha256"))).toEqual([hexOf(digestOf(BYTES))])
  }))

test("processes that push the same blob at once all succeed", () =>
  inStore(async (root) => {
    const children = Array.from({ length: 3 }, () => Bun.spawn(pusher(root, ""), { stderr: "inherit" }))
    expect(await Promise.all(children.map((child) => child.exited))).toEqual([0, 0, 0])
    expect(await readdir(join(root, "ovm/ingest"))).toEqual([])
    await using store = await openLayout(root)
    expect(await collect(store.fetch(describeBytes(BYTES)))).toHaveLength(SIZE)
  }))

const namespaces = spawnSync("unshare", ["-rm", "mount", "-t", "tmpfs", "none", tmpdir()]).status === 0
if (!namespaces) console.warn("skipped: a full disk needs user namespaces, which this machine does not give")

test.skipIf(!namespaces)("a full disk is named, and nothing is left behind", async () => {
  const mountPoint = await mkdtemp(join(tmpdir(), "ovm-full-"))
  try {
    const code = `
      const { readdir } = await import("node:fs/promises")
      const { openLayout } = await import(${JSON.stringify(join(import.meta.dir, "store.ts"))})
      const { describeBytes } = await import(${JSON.stringify(join(import.meta.dir, "../store.testing.ts"))})
      const root = ${JSON.stringify(join(mountPoint, "store"))}
      const bytes = new Uint8Array(4 << 20).fill(1)
      await using store = await openLayout(root, { create: true })
      const failed = await store.push(describeBytes(bytes), (async function* () { yield bytes })()).catch((e) => e)
      console.log(JSON.stringify({
        code: failed?.code, message: failed?.message,
        ingest: await readdir(root + "/ovm/ingest"), blobs: await readdir(root + "/blobs/sha256"),
      }))`
    const script = 'mount -t tmpfs -o size=2m none "$1" && exec "$2" -e "$3"'
    const child = Bun.spawn(
      ["unshare", "-rm", "sh", "-c", script, "sh", mountPoint, process.execPath, code],
      {
        stdout: "pipe",
        stderr: "inherit",
      },
    )
    const result = JSON.parse(await new Response(child.stdout).text())
    expect(result).toMatchObject({ code: "OVM_NO_SPACE", ingest: [], blobs: [] })
    expect(result.message).toContain(join(mountPoint, "store"))
  } finally {
    await rm(mountPoint, { recursive: true })
  }
})

test("an index is never seen half written", () =>
  inStore(async (root) => {
    const code = `
      const { openLayout } = await import(${JSON.stringify(join(import.meta.dir, "store.ts"))})
      const { pushImage } = await import(${JSON.stringify(join(import.meta.dir, "../store.testing.ts"))})
      await using store = await openLayout(${JSON.stringify(root)}, { durable: false })
      const image = await pushImage(store, process.argv[1], "{}")
      for (let at = 0; at < 20; at++) await store.tag(image, process.argv[1] + at)`
    const children = ["a", "b"].map((name) =>
      Bun.spawn([process.execPath, "-e", code, name], { stderr: "inherit" }),
    )
    let writing = true
    const reading = (async () => {
      while (writing) {
        JSON.parse(await readFile(join(root, "index.json"), "utf8"))
        await Bun.sleep(1)
      }
    })()
    expect(await Promise.all(children.map((child) => child.exited))).toEqual([0, 0])
    writing = false
    await reading
    await using store = await openLayout(root)
    expect(await Array.fromAsync(store.list())).toHaveLength(40)
  }))
