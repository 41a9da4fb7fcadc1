import { stat } from "node:fs/promises"
import { collectCache } from "../cache/collect.ts"
import type { Digest } from "../content/digest.ts"
import { LayoutFiles } from "../content/layout/files.ts"
import { type Collected, type CollectOptions, collectGarbage } from "../content/layout/gc.ts"
import { ifPresent } from "../files/present.ts"

/**
 * One collection of the store at `store` and of what was derived from it at `cache`: files whose blobs are gone, and that no
 * instance uses, go with them. `bytes` are of both. Throws what collectGarbage throws.
 */
export async function collectImages(
  store: string,
  cache: string,
  options: Omit<CollectOptions, "dryRun"> = {},
): Promise<Collected> {
  const { removed, bytes } = await collectGarbage(store, options)
  const files = new LayoutFiles(store)
  const alive = async (source: Digest) => (await ifPresent(stat(files.blob(source)))) !== undefined
  const evicted = await collectCache(cache, { ...options, maxBytes: Number.POSITIVE_INFINITY, alive })
  return { removed, bytes: evicted.reduce((sum, entry) => sum + entry.bytes, bytes) }
}
