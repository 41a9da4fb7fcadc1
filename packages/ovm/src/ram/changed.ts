import { open } from "node:fs/promises"
import type { Call } from "../content/interfaces.ts"
import { OvmError } from "../errors.ts"
import { guarded } from "../files/guarded.ts"
import { chunkRuns } from "./extents.ts"
import { CHUNK, GUEST_PAGE } from "./format.ts"
import { Pool } from "./pool.ts"
import type { CompareTask } from "./tasks.ts"

/** The map of changed pages of a snapshot (spec/snapshot.md), and how many bits of it are set. */
export interface ChangedPages {
  readonly map: Uint8Array
  readonly pages: number
}

const BATCH = 4
const WINDOW = 64

/**
 * Where the sparse RAM file `path` differs from `parent`, on all processors; what is a hole in both is not read. Throws
 * OVM_RAM_INVALID if they are not of one size, OVM_FILE_UNREADABLE, OVM_INTERRUPTED.
 */
export function changedPages(path: string, parent: string, { signal }: Call = {}): Promise<ChangedPages> {
  return guarded(async () => {
    await using ours = await open(path, "r")
    await using theirs = await open(parent, "r")
    const [{ size }, { size: other }] = await Promise.all([ours.stat(), theirs.stat()])
    if (size !== other || size % CHUNK !== 0)
      throw new OvmError("OVM_RAM_INVALID", `${path} has ${size} bytes, and its parent's RAM ${other}`)
    const map = new Uint8Array(size / GUEST_PAGE / 8)
    await using pool = new Pool()
    const isTask = (_: CompareTask): _ is CompareTask => true
    for await (const { item, result } of pool.inOrder(tasksOf(ours.fd, theirs.fd, size), isTask, WINDOW)) {
      signal?.throwIfAborted()
      if (result) map.set(result.map, (item.first * CHUNK) / GUEST_PAGE / 8)
    }
    return { map, pages: map.reduce((sum, byte) => sum + bitsOf(byte), 0) }
  })
}

function* tasksOf(from: number, other: number, size: number): Generator<CompareTask> {
  const used = new Uint8Array(size / CHUNK)
  for (const fd of [from, other])
    for (const { first, count, hole } of chunkRuns(fd, size, Number.MAX_SAFE_INTEGER))
      if (!hole) used.fill(1, first, first + count)
  for (let first = used.indexOf(1); first >= 0; ) {
    const end = used.indexOf(0, first)
    const count = Math.min(BATCH, (end < 0 ? used.length : end) - first)
    yield { kind: "compare", from, with: other, first, count }
    first = used.indexOf(1, first + count)
  }
}

function bitsOf(byte: number): number {
  let bits = 0
  for (let left = byte; left > 0; left &= left - 1) bits++
  return bits
}
