import { CLUSTER } from "./guest-writes.ts"

// What the tables of a qcow2 say whose every cluster is used once.

const TOP = 2 ** 32
const PER_COUNTS = CLUSTER / 2
/** Of entries that point to a cluster of which this is the only use. */
export const COPIED = 0x80000000

/**
 * The refcounts of a file of `end` clusters and what they take behind them, each cluster being used once: all blocks,
 * of which the first is cluster `first`, and the table that leads to them.
 */
export function counts(
  first: number,
  end: number,
): { readonly table: DataView; readonly blocks: readonly DataView[] } {
  // Blocks count themselves, too.
  let more = 0
  while ((1 + more) * PER_COUNTS < end + more) more++
  const table = new DataView(new ArrayBuffer(CLUSTER))
  const blocks = Array.from({ length: 1 + more }, (_, block) => {
    const counts = new DataView(new ArrayBuffer(CLUSTER))
    const used = Math.min(PER_COUNTS, end + more - block * PER_COUNTS)
    for (let one = 0; one < used; one++) counts.setUint16(one * 2, 1)
    setEntry(table, block, 0, (block === 0 ? first : end + block - 1) * CLUSTER)
    return counts
  })
  return { table, blocks }
}

export function setEntry(table: DataView, index: number, flags: number, at: number): void {
  table.setUint32(index * 8, (flags | Math.floor(at / TOP)) >>> 0)
  table.setUint32(index * 8 + 4, at % TOP)
}
