import type { Bytes, Call } from "../content/interfaces.ts"
import { type ChainFile, ChainReader, withLayers } from "./chain-reader.ts"
import { differing } from "./differing.ts"
import { GuestWrites } from "./guest-writes.ts"
import { Lookup } from "./lookup.ts"
import { streamed } from "./streamed.ts"

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
      return await use(streamed(written, await differing(written, new ChainReader(below), call), call))
    }),
  )
}
