import { type BlockRun, copyBlocks, type Geometry, PER_GROUP } from "./geometry.ts"

/** Of one extent. */
const LONGEST = 32768

/** Gives out blocks in order, but for those in which a group has its copy of the superblock. */
export class Allocator {
  #next: number

  constructor(private readonly geometry: Geometry) {
    this.#next = geometry.content
  }

  /** The first block that is free: all behind it are, but for copies. */
  get next(): number {
    return this.#next
  }

  take(blocks: number): readonly BlockRun[] {
    const runs: BlockRun[] = []
    for (let left = blocks; left > 0; ) {
      const group = Math.floor(this.#next / PER_GROUP)
      const first = group * PER_GROUP + copyBlocks(this.geometry, group)
      const start = Math.max(this.#next, first)
      const end = (group + 1) * PER_GROUP
      if (start >= end) throw new Error("a group has no room for content")
      const length = Math.min(left, end - start)
      append(runs, start, length)
      this.#next = start + length
      left -= length
    }
    return runs
  }
}

function append(runs: BlockRun[], start: number, length: number): void {
  const last = runs.at(-1)
  if (last && last.start + last.length === start && last.length + length <= LONGEST)
    runs[runs.length - 1] = { start: last.start, length: last.length + length }
  else runs.push({ start, length })
}
