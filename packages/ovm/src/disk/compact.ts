import type { Bytes, Call } from "../content/interfaces.ts"
import { type ChainFile, ChainReader, withLayers } from "./chain-reader.ts"
import { BYTES, type Differing, differing, ZEROED } from "./differing.ts"
import { CLUSTER, GuestWrites } from "./guest-writes.ts"
import { Lookup } from "./lookup.ts"
import { layout } from "./overlay.ts"
import { COPIED, counts, setEntry } from "./written.ts"

/**
 * Gives `use` the bytes, in order, of one qcow2 that is to `base` what all `overlays` are, the lowest first: with no
 * cluster that `base` has the same, and none of zeros. What stays is found first, so that where all is in the file is
 * known with its first byte, and a hash and a disk can follow. Overlays have clusters of 64 KiB, as those that this
 * host writes. Throws OVM_DISK_INVALID, OVM_FILE_UNREADABLE, OVM_INTERRUPTED, and what `use` throws.
 */
export async function withCompact<T>(
  overlays: readonly string[],
  base: readonly ChainFile[],
  use: (content: Bytes) => Promise<T>,
  call: Call = {},
): Promise<T> {
  const files = overlays.map((path) => ({ path, format: "qcow2" as const }))
  return await withLayers(base, (below) =>
    withLayers(files, async (above) => {
      const written = new GuestWrites(above.filter((one) => one instanceof Lookup))
      return await use(compact(written, await differing(written, new ChainReader(below), call), call))
    }),
  )
}

async function* compact(written: GuestWrites, changed: Differing, call: Call): Bytes {
  const head = layout(written.size)
  const l1 = new DataView(new ArrayBuffer((head.clusters - head.l1Table) * CLUSTER))
  let end = head.clusters
  for (const [index, kinds] of changed) {
    end += kinds.reduce((sum, kind) => sum + (kind === BYTES ? 1 : 0), 0)
    setEntry(l1, index, COPIED, end++ * CLUSTER)
  }
  const { table, blocks } = counts(head.refcountBlock, end)
  yield Buffer.concat([bytesOf(head.header)], CLUSTER)
  yield bytesOf(table)
  yield bytesOf(blocks[0] as DataView)
  yield bytesOf(l1)
  let next = head.clusters
  for (const [index, kinds] of changed) {
    const l2 = new DataView(new ArrayBuffer(CLUSTER))
    const kept: number[] = []
    for (const [entry, kind] of kinds.entries()) {
      if (kind === ZEROED) l2.setUint32(entry * 8 + 4, 1)
      if (kind === BYTES) setEntry(l2, entry, COPIED, (next + kept.push(entry) - 1) * CLUSTER)
    }
    for await (const bytes of written.read(index, kept)) {
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
