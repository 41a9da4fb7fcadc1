import { afterAll, expect, test } from "bun:test"
import { randomBytes } from "node:crypto"
import {
  closeSync,
  fstatSync,
  ftruncateSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
} from "node:fs"
import { open } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { append } from "../files/append.ts"
import { batches } from "../files/batch.ts"
import { readChunks } from "../files/chunks.ts"
import { overwrite, overwriteNow, readSparse } from "../files/sparse.ts"
import { isZero, LEAST_HOLE, runsOf, ZEROS } from "../files/zeros.ts"
import { reserve } from "../host/libc.ts"
import { loadArchive } from "./archive/load.ts"
import { openArchive } from "./archive/reader.ts"
import { writeArchive } from "./archive/write.ts"
import { copyGraph } from "./copy.ts"
import { sha256 } from "./digest.ts"
import { hashBehind } from "./hasher.ts"
import type { Bytes } from "./interfaces.ts"
import { type LayoutStore, openLayout } from "./layout/store.ts"
import { OCI_MANIFEST } from "./manifest.ts"
import { describeBytes, pushBytes } from "./store.testing.ts"

const MiB = 2 ** 20
const folder = mkdtempSync(join(tmpdir(), "ovm-sparse-"))
afterAll(() => rmSync(folder, { recursive: true }))

/** Zeros and other bytes in turns of odd lengths, with long runs of both. */
function patchwork(): Uint8Array[] {
  const sizes = [1, 511, 4096, 65_535, 65_536, 65_537, 200_000, 700_001]
  return Array.from({ length: 40 }, (_, index) => {
    const size = sizes[Math.floor(Math.random() * sizes.length)] ?? 1
    return index % 2 === 0 ? new Uint8Array(size) : randomBytes(size)
  })
}

/** The same bytes, cut elsewhere. */
async function* cut(bytes: Uint8Array, size: number): Bytes {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
}

function room(path: string): number {
  return statSync(path).blocks * 512
}

test("runs are all of the bytes in order, and their holes are long and nothing but zeros", () => {
  for (let round = 0; round < 10; round++) {
    const chunks = patchwork()
    const runs = runsOf(chunks)
    expect(Buffer.concat(runs.flatMap((run) => run.chunks)).equals(Buffer.concat(chunks))).toBe(true)
    for (const [index, { hole, chunks: own, size }] of runs.entries()) {
      expect(size).toBe(Buffer.concat(own).length)
      if (hole) expect(size).toBeGreaterThanOrEqual(LEAST_HOLE)
      if (hole) expect(Buffer.concat(own).equals(Buffer.alloc(size))).toBe(true)
      if (index > 0) expect(runs[index - 1]?.hole).toBe(!hole)
    }
  }
  expect(runsOf([])).toEqual([])
  const [only, ...others] = runsOf([randomBytes(MiB)])
  expect([only?.hole, only?.chunks.length, others.length]).toEqual([false, 1, 0])
})

test("one byte anywhere is no zero", () => {
  const bytes = new Uint8Array(LEAST_HOLE)
  expect(isZero(bytes)).toBe(true)
  for (const at of [0, 1, 77, LEAST_HOLE / 2, LEAST_HOLE - 2, LEAST_HOLE - 1]) {
    bytes[at] = 1
    expect([isZero(bytes), isZero(bytes, at, at + 1), isZero(bytes, at + 1), isZero(bytes, 0, at)]).toEqual([
      false,
      false,
      at + 1 < bytes.length,
      at > 0,
    ])
    bytes[at] = 0
  }
  expect(isZero(ZEROS.subarray(3, 999))).toBe(true)
})

test("what is appended, written over old bytes, read and hashed is what was given, however it is cut", async () => {
  for (const size of [10_000, 65_536, 300_001, 2 * MiB]) {
    const bytes = Buffer.concat(patchwork())
    const [appended, over, now] = ["appended", "over", "now"].map((name) => join(folder, name))
    if (!appended || !over || !now) throw new Error("unreachable")
    const fd = openSync(appended, "w+")
    const hash = hashBehind(fd)
    let at = 0
    for await (const batch of batches(cut(bytes, size))) {
      await append(fd, batch.chunks, at)
      at += batch.size
      expect(fstatSync(fd).size).toBe(at)
      hash.written(at)
    }
    expect(await hash.digest()).toBe(describeBytes(bytes).digest)
    closeSync(fd)
    // Over bytes that are all there and none of them zero, in an order of its own.
    for (const path of [over, now]) {
      await Bun.write(path, Buffer.alloc(path === over ? bytes.length : 1000, 7))
      const old = openSync(path, "r+")
      const file = { fd: old, size: bytes.length }
      for (let start = 0; start < bytes.length; start += 2 * size)
        await overwrite(file, [bytes.subarray(start, start + size)], start)
      for (let start = size; start < bytes.length; start += 2 * size)
        overwriteNow(file, bytes.subarray(start, start + size), start, () => {})
      closeSync(old)
    }
    for (const path of [appended, over, now]) {
      expect(readFileSync(path).equals(bytes)).toBe(true)
      expect(Buffer.concat(await Array.fromAsync(readChunks(path))).equals(bytes)).toBe(true)
      await using file = await open(path)
      const part = Buffer.concat(await Array.fromAsync(readSparse(file, 70_000, 1_000_001, {})))
      expect(part.equals(bytes.subarray(70_000, 1_000_001))).toBe(true)
    }
  }
})

test("room that was set aside for zeros is given back", async () => {
  const path = join(folder, "reserved")
  const fd = openSync(path, "w+")
  const file = { fd, size: 16 * MiB }
  reserve(fd, 0, file.size)
  expect(room(path)).toBeGreaterThanOrEqual(16 * MiB)
  for (let at = 0; at < 16 * MiB; at += MiB)
    overwriteNow(file, at === 5 * MiB ? randomBytes(MiB) : new Uint8Array(MiB), at, () => {})
  closeSync(fd)
  expect(room(path)).toBeLessThan(2 * MiB)
  expect(statSync(path).size).toBe(16 * MiB)
})

/** 64 MiB with one in the middle that is not zero; `holes` says whether the file has them already. */
async function disk(name: string, holes: boolean): Promise<string> {
  const path = join(folder, name)
  await using file = await open(path, "w")
  ftruncateSync(file.fd, 64 * MiB)
  if (!holes) for (let at = 0; at < 64; at++) await file.write(new Uint8Array(MiB), 0, MiB, at * MiB)
  await file.write(randomBytes(MiB), 0, MiB, 30 * MiB + 4096)
  return path
}

async function imageOf(store: LayoutStore, path: string) {
  const layer = await store.ingestFile(path, "application/x-disk")
  const config = await pushBytes(store, Buffer.from("{}"), "application/x-config")
  const manifest = { schemaVersion: 2, mediaType: OCI_MANIFEST, config, layers: [layer] }
  return { layer, root: await pushBytes(store, Buffer.from(JSON.stringify(manifest)), OCI_MANIFEST) }
}

for (const holes of [true, false])
  test(`a disk of ${holes ? "holes" : "written zeros"} is one of holes in every store and archive`, async () => {
    const own = join(folder, `${holes}`)
    const source = await disk(`${holes}.raw`, holes)
    const stores: LayoutStore[] = []
    const make = async () => {
      const store = await openLayout(join(own, `${stores.length}`), { create: true, durable: false })
      stores.push(store)
      return store
    }
    const packed = await make()
    const { layer, root } = await imageOf(packed, source)
    await copyGraph(packed, root, await make())
    const archive = join(own, "x.tar")
    await using file = await open(archive, "w")
    let at = 0
    for await (const batch of batches(writeArchive(packed, [{ target: root, name: "x" }]))) {
      await append(file.fd, batch.chunks, at)
      at += batch.size
    }
    expect(room(archive)).toBeLessThan(3 * MiB)
    await loadArchive(await make(), readChunks(archive), archive)
    // As a pipe gives it: in pieces that fit nothing.
    await loadArchive(await make(), cut(readFileSync(archive), 60_001), archive)
    await copyGraph(await openArchive(archive), root, await make())
    const into = await (await make()).begin(layer)
    for await (const { chunks } of batches(cut(readFileSync(source), 16_384))) {
      const [gap] = into.missing()
      await into.writeAt(chunks, gap?.start ?? 0)
    }
    await into.commit()
    await into.abort()
    for (const store of stores) {
      const path = await store.path(layer)
      expect(path && room(path)).toBeLessThan(3 * MiB)
      const hash = sha256()
      for await (const chunk of await store.fetch(layer)) hash.update(chunk)
      expect(hash.digest()).toBe(layer.digest)
      await store.close()
    }
  })

test("a file that is here already is not copied again", async () => {
  await using store = await openLayout(join(folder, "again"), { create: true, durable: false })
  const source = await disk("again.raw", true)
  const first = await store.ingestFile(source, "a/b")
  const path = await store.path(first)
  const { ino } = statSync(path ?? "")
  expect(await store.ingestFile(source, "c/d")).toEqual({ ...first, mediaType: "c/d" })
  expect(statSync(path ?? "").ino).toBe(ino)
})
