import { open } from "node:fs/promises"
import type { Digest } from "../content/digest.ts"
import type { Call } from "../content/interfaces.ts"
import { guarded } from "../files/guarded.ts"
import { isZero } from "../files/zeros.ts"
import { chunkRuns } from "./extents.ts"
import { CHUNK } from "./format.ts"
import { inflateRam } from "./inflate.ts"
import type { InflateOptions } from "./inflate-options.ts"
import { MemoryDigest, sha256Of } from "./memory-digest.ts"

/**
 * How the RAM in the blob `path` becomes a file of the cache, whose key is the recipe `ram` and the memory digest: what
 * differs in compression only is inflated once.
 */
export function ramDerivation(
  path: string,
  {
    table: tableOf,
    ...ram
  }: Omit<InflateOptions, "into" | "signal" | "table"> & {
    readonly digest: Digest
    /** Asked for only if the RAM has to be inflated. */
    readonly table?: () => Promise<Uint8Array | undefined>
  },
) {
  return {
    make: async (into: string, call: Call) => {
      const table = await tableOf?.()
      return inflateRam(path, { ...ram, ...(table && { table }), ...call, into })
    },
    verify: async (found: string, call: Call) => (await memoryDigestOf(found, ram.size, call)) === ram.digest,
  }
}

/** The memory digest of the RAM in the sparse file `path`; undefined if it has not `size` bytes. Holes are not read. */
export function memoryDigestOf(path: string, size: number, call: Call = {}): Promise<Digest | undefined> {
  return guarded(async () => {
    await using file = await open(path, "r")
    if ((await file.stat()).size !== size || size % CHUNK !== 0) return undefined
    const memory = new MemoryDigest()
    const chunk = Buffer.allocUnsafe(CHUNK)
    for (const { first, count, hole } of chunkRuns(file.fd, size, 1)) {
      call.signal?.throwIfAborted()
      if (hole) memory.addZeros(count)
      else {
        const { bytesRead } = await file.read(chunk, 0, CHUNK, first * CHUNK)
        if (bytesRead !== CHUNK) return undefined
        if (isZero(chunk)) memory.addZeros(1)
        else memory.add(sha256Of(chunk))
      }
    }
    return memory.digest()
  })
}
