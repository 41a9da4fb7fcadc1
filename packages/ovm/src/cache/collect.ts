import { readdir, stat, unlink } from "node:fs/promises"
import { resolve as absolute, join } from "node:path"
import { type Digest, hexOf } from "../content/digest.ts"
import type { Call } from "../content/interfaces.ts"
import { guarded } from "../files/guarded.ts"
import { ifPresent } from "../files/present.ts"
import { lock, tryLock } from "../host/lock.ts"
import { CacheFiles, type Key, keyName, parseKey } from "./files.ts"
import { held } from "./holders.ts"
import { sourcesOf } from "./sources.ts"

/** One derived file. */
export interface CacheEntry extends Key {
  /** Bytes that it takes on the disk: it may be sparse. */
  readonly bytes: number
  /** When it was last asked for. */
  readonly used: Date
  /** Who uses it now. */
  readonly holders: readonly string[]
  /** The blobs that it can be made of, as far as they were told. */
  readonly sources: readonly Digest[]
}

export interface CollectCacheOptions extends Call {
  /** Evicts, least recently used first, until no more than this many bytes are left. 0 unless told. */
  readonly maxBytes?: number
  /** Only says what would go. */
  readonly dryRun?: boolean
  /** Whether a blob is still there. Files that were made of blobs, none of which is, go first, whatever is left. */
  readonly alive?: (source: Digest) => Promise<boolean>
}

/** What is in the cache at `root`; nothing if there is none. */
export function cacheEntries(root: string): Promise<readonly CacheEntry[]> {
  return guarded(() => entriesIn(new CacheFiles(absolute(root))))
}

/**
 * Evicts what nobody uses, and removes what dead makers left. Gives what was evicted. Throws OVM_STORE_BUSY and
 * OVM_PERMISSION_DENIED.
 */
export function collectCache(
  root: string,
  options: CollectCacheOptions = {},
): Promise<readonly CacheEntry[]> {
  return guarded(async () => {
    const files = new CacheFiles(absolute(root))
    if (!(await ifPresent(stat(files.files)))) return []
    using _ = await lock(files.lock, "exclusive", options)
    const wanted = await chosen(await entriesIn(files), options)
    if (options.dryRun) return wanted
    await removeAbandoned(files)
    const evicted: CacheEntry[] = []
    for (const entry of wanted) if (await evict(files, entry)) evicted.push(entry)
    return evicted
  })
}

async function entriesIn(files: CacheFiles): Promise<CacheEntry[]> {
  const users = await held(files)
  const entries: CacheEntry[] = []
  for (const recipe of (await ifPresent(readdir(files.files))) ?? [])
    for (const hex of (await ifPresent(readdir(join(files.files, recipe)))) ?? []) {
      const key = parseKey(`${recipe}.${hex}`)
      const found = key && (await ifPresent(stat(files.file(key))))
      if (!key || !found) continue
      const used = (await ifPresent(stat(files.keyLock(key))))?.mtime ?? found.mtime
      entries.push({
        ...key,
        bytes: found.blocks * 512,
        used,
        holders: users.get(keyName(key)) ?? [],
        sources: await sourcesOf(files, key),
      })
    }
  return entries
}

async function chosen(entries: readonly CacheEntry[], options: CollectCacheOptions): Promise<CacheEntry[]> {
  const { maxBytes = 0, alive } = options
  let left = entries.reduce((sum, { bytes }) => sum + bytes, 0)
  const free = entries
    .filter(({ holders }) => holders.length === 0)
    .sort((a, b) => a.used.getTime() - b.used.getTime())
  const orphans: CacheEntry[] = []
  for (const entry of free) if (alive && (await isOrphan(entry, alive))) orphans.push(entry)
  left -= orphans.reduce((sum, { bytes }) => sum + bytes, 0)
  const rest = free.filter((entry) => {
    if (left <= maxBytes || orphans.includes(entry)) return false
    left -= entry.bytes
    return true
  })
  return [...orphans, ...rest]
}

async function isOrphan(
  { sources }: CacheEntry,
  alive: (source: Digest) => Promise<boolean>,
): Promise<boolean> {
  const found = await Promise.all(sources.map(alive))
  return sources.length > 0 && !found.includes(true)
}

/** False if somebody is about to use it. */
async function evict(files: CacheFiles, key: Key): Promise<boolean> {
  const path = files.keyLock(key)
  const free = await ifPresent(Promise.try(() => tryLock(path, "exclusive")))
  // A lock that somebody holds; without the lock's file nobody does.
  if (free === undefined && (await ifPresent(stat(path)))) return false
  try {
    await ifPresent(unlink(files.file(key)))
    await ifPresent(unlink(join(files.stamps(key.recipe), hexOf(key.digest))))
    await ifPresent(unlink(files.source(key)))
    // One who waits for this lock then has one of his own, and at worst makes the file a second time.
    await ifPresent(unlink(path))
  } finally {
    free?.release()
  }
  return true
}

/** A maker holds its key's lock for as long as its file is there. */
async function removeAbandoned(files: CacheFiles): Promise<void> {
  for (const name of (await ifPresent(readdir(files.making))) ?? []) {
    const key = parseKey(name)
    if (!key) continue
    const path = files.keyLock(key)
    const free = await ifPresent(Promise.try(() => tryLock(path, "exclusive")))
    if (free === undefined && (await ifPresent(stat(path)))) continue
    await ifPresent(unlink(join(files.making, name)))
    free?.release()
  }
}
