import { expect, test } from "bun:test"
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Cache } from "../cache/cache.ts"
import { digestOf } from "../content/digest.ts"
import { openLayout } from "../content/layout/store.ts"
import { bytesOf } from "../content/read.ts"
import { collectImages } from "./collect.ts"

test("what was derived goes with the last of its blobs, unless an instance uses it", async () => {
  const root = mkdtempSync(join(tmpdir(), "ovm-collect-"))
  try {
    const [store, cache] = [join(root, "store"), join(root, "cache")]
    const blobs = ["zstd", "lz4"].map((text) => Buffer.from(text))
    const [first, second] = blobs.map((bytes) => digestOf(bytes))
    const layout = await openLayout(store, { create: true })
    for (const bytes of blobs)
      await layout.push({ mediaType: "x/y", digest: digestOf(bytes), size: bytes.length }, bytesOf(bytes))
    const lease = layout.lease("keeper")
    await lease.add({ mediaType: "x/y", digest: second ?? "sha256:" })
    await layout.close()

    const derived = new Cache(cache)
    const make = async (into: string) => writeFileSync(into, "RAM")
    const derivation = { make, verify: async () => true }
    const key = { recipe: "ram", digest: digestOf("RAM") }
    let path = ""
    for (const source of [first, second])
      path = await derived.get(key, derivation, { holder: "instance-1", ...(source && { source }) })
    expect((await collectImages({ store, cache })).removed).toEqual([String(first)] as never)
    expect(existsSync(path)).toBe(true)
    await lease.release()
    expect((await collectImages({ store, cache })).removed).toEqual([String(second)] as never)
    expect(existsSync(path)).toBe(true)
    await derived.release("instance-1")
    expect((await collectImages({ store, cache })).freed).toBeGreaterThan(0)
    expect(existsSync(path)).toBe(false)
  } finally {
    rmSync(root, { recursive: true })
  }
})
