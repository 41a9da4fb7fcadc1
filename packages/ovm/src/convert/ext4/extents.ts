import { BLOCK_BYTES, type BlockRun } from "./geometry.ts"

const MAGIC = 0xf30a
const [HEADER, ENTRY] = [12, 12]
/** In an inode. */
const INLINE = 4
const PER_LEAF = Math.floor((BLOCK_BYTES - HEADER) / ENTRY)

/** Runs that a file can have at most. */
export const MOST_RUNS = INLINE * PER_LEAF

/** Where extents go, and how many there may be. */
interface Place {
  readonly into: DataView
  readonly at: number
  readonly most: number
}

/** How many blocks besides it takes to say where `runs` runs are. */
export function leavesFor(runs: number): number {
  return runs <= INLINE ? 0 : Math.ceil(runs / PER_LEAF)
}

/** Writes where a file's blocks are into the 60 bytes at `at`; what is in `leaves`, block numbers, is returned. */
export function writeExtents(
  into: DataView,
  at: number,
  runs: readonly BlockRun[],
  leaves: readonly number[],
): Uint8Array[] {
  if (leaves.length === 0) {
    writeLeaf({ into, at, most: INLINE }, runs, 0)
    return []
  }
  header(into, at, { entries: leaves.length, most: INLINE, depth: 1 })
  let logical = 0
  return leaves.map((leaf, index) => {
    const entry = at + HEADER + index * ENTRY
    into.setUint32(entry, logical, true)
    into.setUint32(entry + 4, leaf, true)
    const bytes = new Uint8Array(BLOCK_BYTES)
    const part = runs.slice(index * PER_LEAF, (index + 1) * PER_LEAF)
    logical = writeLeaf({ into: new DataView(bytes.buffer), at: 0, most: PER_LEAF }, part, logical)
    return bytes
  })
}

/** Returns the first logical block behind the runs. */
function writeLeaf({ into, at, most }: Place, runs: readonly BlockRun[], first: number): number {
  header(into, at, { entries: runs.length, most, depth: 0 })
  let logical = first
  for (const [index, { start, length }] of runs.entries()) {
    const entry = at + HEADER + index * ENTRY
    into.setUint32(entry, logical, true)
    into.setUint16(entry + 4, length, true)
    into.setUint32(entry + 8, start, true)
    logical += length
  }
  return logical
}

function header(
  into: DataView,
  at: number,
  { entries, most, depth }: { readonly entries: number; readonly most: number; readonly depth: number },
): void {
  into.setUint16(at, MAGIC, true)
  into.setUint16(at + 2, entries, true)
  into.setUint16(at + 4, most, true)
  into.setUint16(at + 6, depth, true)
}
