import { expect, test } from "bun:test"
import { appendFile, mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { hexOf } from "../digest.ts"
import { collect, describeBytes, failure } from "../store.testing.ts"
import { collectGarbage } from "./gc.ts"
import { type LayoutStore, openLayout } from "./store.ts"

const BYTES = new Uint8Array(100_000).map((_, at) => at * 31)
const BLOB = describeBytes(BYTES)
const HALF = 50_000

async function inStore(run: (store: LayoutStore, ingest: string) => Promise<void>): Promise<void> {
  const root = await mkdtemp(join(tmpdir(), "ovm-partial-"))
  try {
    await using store = await openLayout(root, { create: true, durable: false })
    await run(store, join(root, "ovm/ingest"))
  } finally {
    await rm(root, { recursive: true })
  }
}

const journal = (ingest: string) => join(ingest, `${hexOf(BLOB.digest)}.extents`)
const partial = (ingest: string) => join(ingest, `${hexOf(BLOB.digest)}.partial`)

async function half(store: LayoutStore): Promise<void> {
  await using into = await store.begin(BLOB)
  await into.writeAt([BYTES.subarray(0, 10), BYTES.subarray(10, HALF)], 0)
}

test("comes in any order, and is a blob only when it is whole", () =>
  inStore(async (store, ingest) => {
    await using into = await store.begin(BLOB)
    await into.writeAt([BYTES.subarray(HALF)], HALF)
    expect((await failure(into.commit(), "OVM_SIZE_MISMATCH")).message).toContain(BLOB.digest)
    expect(await store.exists(BLOB)).toBe(false)
    await into.writeAt([BYTES.subarray(0, HALF)], 0)
    await into.commit()
    expect(await collect(store.fetch(BLOB))).toBe(Buffer.from(BYTES).toString())
    await into.abort()
    expect(await readdir(ingest)).toEqual([])
    expect((await stat((await store.path(BLOB)) ?? "")).mode & 0o777).toBe(0o444)
  }))

test("what is not the blob leaves nothing, and may be filled once more", () =>
  inStore(async (store, ingest) => {
    await using into = await store.begin(BLOB)
    await into.writeAt([BYTES.with(7, 0)], 0)
    expect((await failure(into.commit(), "OVM_DIGEST_MISMATCH")).message).toContain(BLOB.digest)
    expect(into.missing()).toEqual([{ start: 0, end: BLOB.size }])
    await into.writeAt([BYTES], 0)
    await into.commit()
    expect(await readdir(ingest)).toEqual([`${hexOf(BLOB.digest)}.extents`].slice(1))
  }))

test("more than the blob has is refused", () =>
  inStore(async (store) => {
    await using into = await store.begin(BLOB)
    await failure(into.writeAt([BYTES, BYTES], 0), "OVM_SIZE_MISMATCH")
  }))

test("is gone on with, unless its journal cannot be believed", () =>
  inStore(async (store, ingest) => {
    await half(store)
    const missing = async () => {
      await using into = await store.begin(BLOB)
      return into.missing()
    }
    expect(await missing()).toEqual([{ start: HALF, end: BLOB.size }])
    // A line that was being written when its writer died, and one that promises more than there is.
    await appendFile(journal(ingest), `${HALF} 60000\n${HALF} 5`)
    expect(await missing()).toEqual([{ start: HALF, end: BLOB.size }])
    expect(await readFile(journal(ingest), "utf8")).toEndWith("60000\n")
    await writeFile(journal(ingest), (await readFile(journal(ingest), "utf8")).replace(/^\d+/, "1"))
    expect(await missing()).toEqual([{ start: 0, end: BLOB.size }])
  }))

test("two at once do not disturb each other", () =>
  inStore(async (store, ingest) => {
    await using first = await store.begin(BLOB)
    await first.writeAt([BYTES.subarray(0, HALF)], 0)
    await using second = await store.begin(BLOB)
    expect(second.missing()).toEqual([{ start: 0, end: BLOB.size }])
    await second.writeAt([BYTES], 0)
    await second.commit()
    await first.writeAt([BYTES.subarray(HALF)], HALF)
    await first.commit()
    await first.abort()
    await second.abort()
    expect(await readdir(ingest)).toEqual([])
    expect(await store.exists(BLOB)).toBe(true)
  }))

test("is kept for a week, and while somebody writes to it", () =>
  inStore(async (store, ingest) => {
    await half(store)
    await collectGarbage(store.root)
    expect(await readdir(ingest)).toHaveLength(2)
    const old = new Date(Date.now() - 8 * 24 * 3600 * 1000)
    const writer = await store.begin(BLOB)
    await utimes(partial(ingest), old, old)
    await collectGarbage(store.root)
    expect(await readdir(ingest)).toHaveLength(2)
    await writer.abort()
    await collectGarbage(store.root)
    expect(await readdir(ingest)).toEqual([])
  }))
