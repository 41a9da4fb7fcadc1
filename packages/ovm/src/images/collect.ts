import { stat } from "node:fs/promises"
import { isSnapshotType } from "../artifact/types.ts"
import { type CacheEntry, collectCache } from "../cache/collect.ts"
import type { Digest } from "../content/digest.ts"
import type { Call } from "../content/interfaces.ts"
import { LayoutFiles } from "../content/layout/files.ts"
import { type Collected, collectGarbage } from "../content/layout/gc.ts"
import { ifPresent } from "../files/present.ts"
import type { Paths } from "../host/paths.ts"

export interface Freed extends Collected {
  /** Derived files, which can be made again. */
  readonly evicted: readonly Pick<CacheEntry, "recipe" | "digest" | "bytes">[]
  /** Bytes of all of it. */
  readonly freed: number
}

export interface CollectOptions extends Call {
  /** Only says what would go. */
  readonly dryRun?: boolean
  /** Also what broken pulls of the last week have fetched, which the next one would go on with. */
  readonly partials?: boolean
  /** Names that go first. */
  readonly forget?: (name: string) => boolean
  /** Also what was derived of blobs that are there, as long as no instance uses it. */
  readonly cache?: boolean
}

/** A snapshot needs its base, and is not what its base needs (OVMS-SNP-150). */
const standing = (types: readonly string[]) => types.some(isSnapshotType)

/**
 * One collection of the store and of what was derived from it: files whose blobs are gone, and that no instance uses,
 * go with them. Throws what collectGarbage throws.
 */
export async function collectImages(
  { store, cache }: Pick<Paths, "store" | "cache">,
  options: CollectOptions = {},
): Promise<Freed> {
  const collected = await collectGarbage(store, { ...options, standing })
  const files = new LayoutFiles(store)
  const going = new Set(collected.removed)
  const alive = async (source: Digest) =>
    !going.has(source) && (await ifPresent(stat(files.blob(source)))) !== undefined
  const maxBytes = options.cache ? 0 : Number.POSITIVE_INFINITY
  const evicted = await collectCache(cache, { ...options, maxBytes, alive })
  const derived = evicted.reduce((sum, entry) => sum + entry.bytes, 0)
  return { ...collected, evicted, freed: collected.bytes + collected.unfinished + derived }
}
