import { cacheEntries } from "../cache/collect.ts"
import { formatCount, formatSize } from "./format.ts"

interface Use {
  /** Bytes that it takes on the disk. */
  readonly size: number
  readonly files: number
  /** Bytes of what an instance uses now: `ovm prune` leaves that. */
  readonly in_use: number
}

/** What the cache holds, in all and by kind, such as the inflated RAM of snapshots. */
export interface CacheUse extends Use {
  readonly kinds: Readonly<Record<string, Use>>
}

const NOTHING: Use = { size: 0, files: 0, in_use: 0 }

/** Of the cache at `root`; nothing where there is none. */
export async function cacheUse(root: string): Promise<CacheUse> {
  const kinds: Record<string, Use> = {}
  let all = NOTHING
  for (const { recipe, bytes, holders } of await cacheEntries(root)) {
    const one = { size: bytes, files: 1, in_use: holders.length > 0 ? bytes : 0 }
    kinds[recipe] = sum(kinds[recipe] ?? NOTHING, one)
    all = sum(all, one)
  }
  return { ...all, kinds }
}

/** In one line. */
export function describeCache({ kinds }: CacheUse): string {
  const parts = Object.entries(kinds).map(
    ([kind, { size, files, in_use }]) =>
      `${kind}: ${formatSize(size)} in ${formatCount(files, "file")}, ${formatSize(in_use)} in use`,
  )
  return parts.join("; ") || "empty"
}

function sum(a: Use, b: Use): Use {
  return { size: a.size + b.size, files: a.files + b.files, in_use: a.in_use + b.in_use }
}
