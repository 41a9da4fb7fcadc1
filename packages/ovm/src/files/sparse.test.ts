import { afterAll, expect, test } from "bun:test"
import { randomBytes } from "node:crypto"
import { closeSync, fstatSync, mkdtempSync, openSync, readFileSync, rmSync, statSync } from "node:fs"
import { open } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { hashBehind } from "../content/hasher.ts"
import { describeBytes } from "../content/store.testing.ts"
import { reserve } from "../host/libc.ts"
import { append } from "./append.ts"
import { batches } from "./batch.ts"
import { readChunks } from "./chunks.ts"
import { cut, room } from "./sparse.testing.ts"
import { overwrite, overwriteNow, readSparse } from "./sparse.ts"
import { isZero, LEAST_HOLE, runsOf, ZEROS } from "./zeros.ts"

const MiB = 2 ** 20
const folder = mkdtempSync(join(tmpdir(), "ovm-sparse-files-"))
afterAll(() => rmSync(folder, { recursive: true }))

/** Zeros and other bytes in turns of odd lengths, with long runs of both. */
function patchwork(): Uint8Array[] {
  const sizes = [1, 511, 4096, 65_535, 65_536, 65_537, 200_000, 700_001]
  return Array.from({ length: 40 }, (_, index) => {
    const size = sizes[Math.floor(Math.random() * sizes.length)] ?? 1
    return index % 2 === 0 ? new Uint8Array(size) : randomBytes(size)
  })
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
