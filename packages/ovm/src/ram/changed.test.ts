import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test"
import { mkdtemp, open, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { refusal } from "@ovms/testkit/disks.ts"
import { changedPages } from "./changed.ts"
import { CHUNK, GUEST_PAGE } from "./format.ts"

// Threads are started again for every comparison.
setDefaultTimeout(240_000)

let root: string
let count = 0
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "ovm-changed-"))
})
afterAll(() => rm(root, { recursive: true }))

/** RAM of `chunks` chunks with holes, and one byte in each of these places. */
async function ram(chunks: number, places: readonly number[]): Promise<string> {
  const path = join(root, `${count++}.ram`)
  await using file = await open(path, "wx")
  await file.truncate(chunks * CHUNK)
  for (const at of places) await file.write(Buffer.from([1]), 0, 1, at)
  return path
}

function pagesOf(map: Uint8Array): number[] {
  const pages = Array.from({ length: map.length * 8 }, (_, page) => page)
  return pages.filter((page) => ((map[page >> 3] ?? 0) >> (page & 7)) & 1)
}

test("pages that differ are found, be they data on one side only, or zeros beside a hole (OVMS-SNP-122)", async () => {
  const both = [5, 3 * CHUNK, 20 * CHUNK + 7 * GUEST_PAGE]
  const mine = [0, GUEST_PAGE - 1, CHUNK - 1, CHUNK, 9 * CHUNK + GUEST_PAGE, 40 * CHUNK - 1]
  const theirs = [GUEST_PAGE, 3 * CHUNK + 1, 30 * CHUNK + 4 * GUEST_PAGE]
  const [one, two] = [await ram(40, [...both, ...mine]), await ram(40, [...both, ...theirs])]
  // Written, and zero all the same.
  {
    await using file = await open(one, "r+")
    await file.write(Buffer.alloc(GUEST_PAGE), 0, GUEST_PAGE, 25 * CHUNK)
  }
  const expected = [...new Set([...mine, ...theirs].map((at) => Math.floor(at / GUEST_PAGE)))].sort(
    (a, b) => a - b,
  )
  for (const [a, b] of [
    [one, two],
    [two, one],
  ] as const) {
    const { map, pages } = await changedPages(a, b)
    expect(map.length).toBe((40 * CHUNK) / 32768)
    expect(pagesOf(map)).toEqual(expected)
    expect(pages).toBe(expected.length)
  }
  expect(await changedPages(one, one)).toMatchObject({ pages: 0 })
})

test("RAM of two sizes, or none, is refused by name", async () => {
  const [one, two] = [await ram(2, []), await ram(3, [])]
  const error = await refusal(changedPages(one, two))
  expect([error.code, error.message]).toEqual(["OVM_RAM_INVALID", expect.stringContaining(one)])
  expect((await refusal(changedPages(one, join(root, "nothing")))).code).toBe("OVM_FILE_UNREADABLE")
})
