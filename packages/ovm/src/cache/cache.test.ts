import { afterAll, beforeAll, expect, test } from "bun:test"
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { digestOf } from "../content/digest.ts"
import { OvmError } from "../errors.ts"
import { compressRam } from "../ram/compress.ts"
import { ramDerivation } from "../ram/derive.ts"
import { Cache, type Derivation } from "./cache.ts"
import { cacheEntries, collectCache } from "./collect.ts"
import type { Key } from "./files.ts"

let folder = ""
let count = 0
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "ovm-cache-"))
})
afterAll(() => rmSync(folder, { recursive: true }))

const fresh = () => join(folder, `${count++}`)
const keyOf = (content: string): Key => ({ recipe: "copy", digest: digestOf(content) })
/** Makes a file of `content`, and counts. */
function copying(content: string) {
  const counts = { made: 0, verified: 0 }
  const derivation: Derivation = {
    make: async (into) => {
      counts.made++
      writeFileSync(into, content)
    },
    verify: async (path) => {
      counts.verified++
      return readFileSync(path, "utf8") === content
    },
  }
  return { counts, derivation, key: keyOf(content) }
}

async function refusal(work: Promise<unknown>): Promise<OvmError> {
  const thrown = await work.then(
    () => undefined,
    (error: unknown) => error,
  )
  expect(thrown).toBeInstanceOf(OvmError)
  return thrown as OvmError
}

test("a file is made once, kept, and found again by another object", async () => {
  const root = fresh()
  const { counts, derivation, key } = copying("content")
  const cache = new Cache(root)
  expect(await cache.peek(key)).toBeUndefined()
  const paths = await Promise.all(Array.from({ length: 8 }, () => cache.get(key, derivation)))
  expect(new Set(paths).size).toBe(1)
  expect(await new Cache(root).get(key, derivation)).toBe(String(paths[0]))
  expect(await cache.peek(key)).toBe(String(paths[0]))
  expect(counts).toEqual({ made: 1, verified: 0 })
  expect(readFileSync(String(paths[0]), "utf8")).toBe("content")
  expect(statSync(String(paths[0])).mode & 0o777).toBe(0o600)
  expect(readdirSync(join(root, "making"))).toEqual([])
})

test("several processes make it once", async () => {
  const root = fresh()
  const log = fresh()
  const script = `
    import { appendFileSync, writeFileSync } from "node:fs"
    import { Cache } from ${JSON.stringify(join(import.meta.dir, "cache.ts"))}
    const make = async (into) => {
      appendFileSync(${JSON.stringify(log)}, "made\\n")
      await Bun.sleep(50)
      writeFileSync(into, "content")
    }
    await new Cache(${JSON.stringify(root)}).get(${JSON.stringify(keyOf("content"))}, { make, verify: async () => true })`
  const children = Array.from({ length: 4 }, () =>
    Bun.spawn([process.execPath, "-e", script], { stdout: "ignore", stderr: "inherit" }),
  )
  expect(await Promise.all(children.map(({ exited }) => exited))).toEqual([0, 0, 0, 0])
  expect(readFileSync(log, "utf8")).toBe("made\n")
})

test("a file that changed is verified, and made again if it is not what it was", async () => {
  const { counts, derivation, key } = copying("content")
  const cache = new Cache(fresh())
  const path = await cache.get(key, derivation)
  const long = new Date(0)
  utimesSync(path, long, long)
  expect(await cache.peek(key)).toBeUndefined()
  expect(await cache.get(key, derivation)).toBe(path)
  expect(counts).toEqual({ made: 1, verified: 1 })
  await cache.get(key, derivation)
  expect(counts).toEqual({ made: 1, verified: 1 })
  writeFileSync(path, "changed")
  await cache.get(key, derivation)
  expect(counts).toEqual({ made: 2, verified: 2 })
  expect(readFileSync(path, "utf8")).toBe("content")
})

test("a maker that fails leaves nothing, and the next one succeeds", async () => {
  const root = fresh()
  const { derivation, key } = copying("content")
  const failing: Derivation = {
    ...derivation,
    make: async (into) => {
      writeFileSync(into, "half")
      throw new OvmError("OVM_NO_SPACE", `${into}: ENOSPC`)
    },
  }
  const cache = new Cache(root)
  expect((await refusal(cache.get(key, failing))).code).toBe("OVM_NO_SPACE")
  expect(readdirSync(join(root, "making"))).toEqual([])
  expect(readFileSync(await cache.get(key, derivation), "utf8")).toBe("content")
})

test("what a killed maker left is removed; what one is making is not", async () => {
  const root = fresh()
  const { derivation, key } = copying("content")
  const script = `
    import { writeFileSync } from "node:fs"
    import { Cache } from ${JSON.stringify(join(import.meta.dir, "cache.ts"))}
    const make = async (into) => {
      writeFileSync(into, "half")
      console.log("making")
      await new Promise(() => setInterval(() => {}, 1000))
    }
    await new Cache(${JSON.stringify(root)}).get(${JSON.stringify(key)}, { make })`
  const child = Bun.spawn([process.execPath, "-e", script], { stdout: "pipe", stderr: "inherit" })
  await child.stdout.getReader().read()
  await collectCache(root)
  expect(readdirSync(join(root, "making"))).toHaveLength(1)
  child.kill("SIGKILL")
  await child.exited
  await collectCache(root)
  expect(readdirSync(join(root, "making"))).toEqual([])
  expect(readFileSync(await new Cache(root).get(key, derivation), "utf8")).toBe("content")
})

test("what an instance uses is not evicted until it lets go, whoever made it", async () => {
  const root = fresh()
  const used = copying("used")
  const unused = copying("unused")
  const cache = new Cache(root)
  await cache.get(used.key, used.derivation)
  const path = await cache.get(used.key, used.derivation, { holder: "instance-1" })
  await cache.get(used.key, used.derivation, { holder: "instance-2" })
  await cache.get(unused.key, unused.derivation)
  const alive = async () => false
  expect((await collectCache(root, { alive })).map(({ digest }) => digest)).toEqual([unused.key.digest])
  expect((await cacheEntries(root)).map(({ holders }) => holders)).toEqual([["instance-1", "instance-2"]])
  // By another object: holders outlive the process.
  await new Cache(root).release("instance-1")
  expect(await collectCache(root)).toEqual([])
  await cache.release("instance-2")
  await cache.release("instance-2")
  expect((await collectCache(root)).map(({ digest }) => digest)).toEqual([used.key.digest])
  expect(existsSync(path)).toBe(false)
  expect(readdirSync(join(root, "locks"))).toEqual([])
  await cache.get(used.key, used.derivation)
  expect(used.counts.made).toBe(2)
})

test("the least recently used goes first, what has no source before it, and only as much as needed", async () => {
  const root = fresh()
  const cache = new Cache(root)
  const made = ["a", "b", "c", "d"].map((letter) => copying(letter.repeat(5000)))
  for (const [index, { key, derivation }] of made.entries()) {
    const source = digestOf(`source of ${index}`)
    await cache.get(key, derivation, { source })
    await cache.get(key, derivation, { source })
    const used = new Date(1e12 + index * 1000)
    utimesSync(join(root, "locks", `copy.${key.digest.slice(7)}`), used, used)
  }
  const [a, b, c, d] = made.map(({ key }) => key.digest)
  // A use makes the oldest the newest.
  const [oldest] = made
  if (oldest) await cache.get(oldest.key, oldest.derivation)
  const entries = await cacheEntries(root)
  const each = entries[0]?.bytes ?? 0
  expect(each).toBeGreaterThanOrEqual(5000)
  expect(entries.map(({ sources }) => sources.length)).toEqual([1, 1, 1, 1])
  const gone = digestOf("source of 3")
  const evicted = await collectCache(root, { maxBytes: 2 * each, alive: async (source) => source !== gone })
  expect(evicted.map(({ digest }) => digest)).toEqual([String(d), String(b)] as never)
  expect((await cacheEntries(root)).map(({ digest }) => digest).sort()).toEqual([a, c].sort() as never)
  expect(await collectCache(root, { maxBytes: 2 * each })).toEqual([])
})

test("names that could lead elsewhere are refused; a cache that is not there is empty", async () => {
  const { derivation, key } = copying("content")
  const cache = new Cache(fresh())
  expect((await refusal(cache.get({ ...key, recipe: "../x" }, derivation))).code).toBe("OVM_INTERNAL")
  expect((await refusal(cache.get(key, derivation, { holder: "../x" }))).code).toBe("OVM_INTERNAL")
  expect(await cacheEntries(fresh())).toEqual([])
  expect(await collectCache(fresh())).toEqual([])
})

test("a wait for another maker can be cancelled", async () => {
  const cache = new Cache(fresh())
  const { derivation, key } = copying("content")
  const { promise, resolve } = Promise.withResolvers<void>()
  const begun = Promise.withResolvers<void>()
  const slow = {
    ...derivation,
    make: async (into: string) => {
      begun.resolve()
      await promise
      writeFileSync(into, "content")
    },
  }
  const first = cache.get(key, slow)
  await begun.promise
  const second = refusal(cache.get(key, derivation, { signal: AbortSignal.abort() }))
  expect((await second).code).toBe("OVM_INTERRUPTED")
  resolve()
  expect(readFileSync(await first, "utf8")).toBe("content")
})

test("RAM is inflated once, by its memory digest, and verified when it is taken over (OVMS-SNP-067)", async () => {
  const ram = Buffer.alloc(1 << 20)
  ram.write("what the machine knew", 300_000)
  const source = fresh()
  writeFileSync(source, ram)
  const cache = new Cache(fresh())
  let path = ""
  for (const compression of ["zstd", "lz4"] as const) {
    const { path: blob, blob: of, ...made } = await compressRam(source, { into: fresh(), compression })
    const derivation = ramDerivation(blob, {
      ...made,
      table: async () => made.table,
      ref: of.digest,
      blobSize: of.size,
    })
    const key = { recipe: "ram", digest: made.digest }
    const found = await cache.get(key, derivation)
    if (path) expect([found, statSync(found).ino]).toEqual([path, statSync(path).ino])
    path = found
    const { ino } = statSync(path)
    utimesSync(path, new Date(0), new Date(0))
    await cache.get(key, derivation)
    expect(statSync(path).ino).toBe(ino)
    writeFileSync(path, "x", { flag: "r+" })
    await cache.get(key, derivation)
    expect(readFileSync(path).equals(ram)).toBe(true)
  }
})
