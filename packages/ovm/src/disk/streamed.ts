import type { Bytes, Call } from "../content/interfaces.ts"
import { BYTES, type Differing, ZEROED } from "./differing.ts"
import { CLUSTER } from "./guest-writes.ts"
import { layout } from "./overlay.ts"
import { COPIED, counts, setEntry } from "./written.ts"

/** What is written into a qcow2. */
export interface ClusterBytes {
  /** Of the disk, in bytes. */
  readonly size: number
  /** The bytes of these clusters of the L2 table of that index, in order. */
  read(index: number, entries: readonly number[]): AsyncIterable<Uint8Array>
}

/**
 * The bytes, in order, of a qcow2 with what `content` has for the clusters that `kinds` tells of: header and first
 * tables, then for each L2 table its clusters and itself.
 */
export async function* streamed(content: ClusterBytes, kinds: Differing, call: Call): Bytes {
  const head = layout(content.size)
  const l1 = new DataView(new ArrayBuffer((head.clusters - head.l1Table) * CLUSTER))
  let end = head.clusters
  for (const [index, each] of kinds) {
    end += each.reduce((sum, kind) => sum + (kind === BYTES ? 1 : 0), 0)
    setEntry(l1, index, COPIED, end++ * CLUSTER)
  }
  const { table, blocks } = counts(head.refcountBlock, end)
  yield Buffer.concat([bytesOf(head.header)], CLUSTER)
  yield bytesOf(table)
  yield bytesOf(blocks[0] as DataView)
  yield bytesOf(l1)
  let next = head.clusters
  for (const [index, each] of kinds) {
    const l2 = new DataView(new ArrayBuffer(CLUSTER))
    const kept: number[] = []
    for (const [entry, kind] of each.entries()) {
      if (kind === ZEROED) l2.setUint32(entry * 8 + 4, 1)
      if (kind === BYTES) setEntry(l2, entry, COPIED, (next + kept.push(entry) - 1) * CLUSTER)
    }
    for await (const bytes of content.read(index, kept)) {
      call.signal?.throwIfAborted()
      yield bytes
    }
    yield bytesOf(l2)
    next += kept.length + 1
  }
  for (const block of blocks.slice(1)) yield bytesOf(block)
}

function bytesOf({ buffer, byteOffset, byteLength }: DataView): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength)
}
