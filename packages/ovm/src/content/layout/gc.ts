import { readdir, stat, unlink } from "node:fs/promises"
import { resolve as absolute, basename, join } from "node:path"
import { OvmError } from "../../errors.ts"
import { guarded } from "../../files/guarded.ts"
import { bytesIfPresent, ifPresent } from "../../files/present.ts"
import { lock } from "../../host/lock.ts"
import { type Digest, digestOf, hexOf, isDigest } from "../digest.ts"
import type { Call } from "../interfaces.ts"
import { isManifest, type Links, OCI_MANIFEST, parseLinks } from "../manifest.ts"
import { LayoutFiles } from "./files.ts"
import { isAbandoned, type Leased, liveLeases } from "./leases.ts"
import { linksOf, listBlobs } from "./manifests.ts"
import { type IndexEntry, nameOf, readIndex, writeIndex } from "./names.ts"
import { JOURNAL, journalOf, PARTIAL, partialOf } from "./partial.ts"
import { checkMarker } from "./reader.ts"
import { keepReserve } from "./reserve.ts"

/** How long what a broken pull has fetched is kept: a week. */
const PARTIAL_LIFE_MS = 7 * 24 * 3600 * 1000

export interface Collected {
  readonly removed: readonly Digest[]
  /** Sum of the sizes of what was removed. */
  readonly bytes: number
  /** Bytes on the disk of what writers that died have left beside it. */
  readonly unfinished: number
  /** How many names went. */
  readonly forgotten: number
}

export interface CollectGarbageOptions extends Call {
  /** Only says what would go. */
  readonly dryRun?: boolean
  /** Also what broken pulls of the last week have fetched, which the next one would go on with. */
  readonly partials?: boolean
  /** Names that go first: what only they hold is removed with the rest. */
  readonly forget?: (name: string) => boolean
  /** Whether a manifest of these types stands for itself: it needs its subject, and goes though that stays. */
  readonly standing?: (types: readonly string[]) => boolean
}

/**
 * Removes from the layout at `root` what no name, no lease and no open store holds, directly or through a manifest. A
 * referrer lives as long as its subject (docs/design/0003); one that is `standing` holds its subject, and lives by its
 * names and leases, or as long as its subject if index.json lists it without a name. Close a store before collecting
 * what it touched. Throws OVM_STORE_BUSY, and OVM_STORE_CORRUPT rather than guess what a damaged manifest refers to.
 */
export function collectGarbage(root: string, options: CollectGarbageOptions = {}): Promise<Collected> {
  return guarded(async () => {
    const files = new LayoutFiles(absolute(root))
    await checkMarker(files)
    using _ = await lock(files.lock, "exclusive", options)
    const leases = await liveLeases(files)
    const index = await readIndex(files)
    const kept = new Marking(files, options.standing ?? (() => false))
    const along = new Set<string>()
    const forgotten = new Set(index.manifests.filter((entry) => options.forget?.(nameOf(entry) ?? "")))
    for (const entry of index.manifests)
      if (forgotten.has(entry)) continue
      else if (nameOf(entry) === undefined && (await kept.isStanding(entry))) along.add(entry.digest)
      else if (isDigest(entry.digest)) await kept.add(entry as Leased)
    for (const target of leases.targets) await kept.add(target)
    const blobs = await listBlobs(files)
    await keepReferrers(files, kept, along, blobs)
    const removed = blobs.filter((digest) => !kept.has(digest))
    const bytes = await sizeOf(files, removed)
    const lifeMs = options.partials ? 0 : PARTIAL_LIFE_MS
    const unfinished = await unfinishedIn(files, lifeMs)
    const result = {
      removed,
      bytes,
      unfinished: unfinished.reduce((sum, one) => sum + one.bytes, 0),
      forgotten: forgotten.size,
    }
    if (options.dryRun) return result
    await sweep(files, removed, [...leases.dead, ...unfinished.map(({ path }) => path)])
    const left = index.manifests.filter(
      (entry) => !forgotten.has(entry) && (!along.has(entry.digest) || kept.has(entry.digest as Digest)),
    )
    if (left.length < index.manifests.length) await writeIndex(files, { ...index, manifests: left })
    keepReserve(files)
    return result
  })
}

class Marking {
  readonly #kept = new Set<Digest>()

  constructor(
    private readonly files: LayoutFiles,
    private readonly standing: (types: readonly string[]) => boolean,
  ) {}

  /** Of an entry of index.json: by what it says itself where the manifest is not there any more. */
  async isStanding({ digest, artifactType }: IndexEntry): Promise<boolean> {
    const links = isDigest(digest) ? await linksOf(this.files.blob(digest)) : undefined
    return links ? this.stands(links) : artifactType !== undefined && this.standing([artifactType])
  }

  stands({ types, subject }: Links): boolean {
    return subject !== undefined && this.standing(types)
  }

  has(digest: Digest): boolean {
    return this.#kept.has(digest)
  }

  /** Keeps `root` and what hangs below it. */
  async add(root: Leased): Promise<void> {
    const pending = [root]
    for (let next = pending.pop(); next; next = pending.pop()) {
      if (this.#kept.has(next.digest)) continue
      this.#kept.add(next.digest)
      if (isManifest(next)) pending.push(...(await this.#children(next.digest)))
    }
  }

  async #children(digest: Digest): Promise<readonly Leased[]> {
    const path = this.files.blob(digest)
    const bytes = await bytesIfPresent(path)
    if (!bytes) return []
    if (digestOf(bytes) !== digest)
      throw new OvmError("OVM_STORE_CORRUPT", `${path} is damaged, so what it refers to is unknown`, {
        hint: "pull or pack it again, or remove its name with ovm rmi",
      })
    const links = parseLinks(bytes, path)
    const { children, subject } = links
    return subject && this.stands(links)
      ? [...children, { digest: subject, mediaType: OCI_MANIFEST }]
      : children
  }
}

/** Only what would be removed is looked at; a referrer may itself be a subject, hence the rounds. */
async function keepReferrers(
  files: LayoutFiles,
  kept: Marking,
  along: ReadonlySet<string>,
  blobs: readonly Digest[],
): Promise<void> {
  const referrers: { digest: Digest; links: Links }[] = []
  for (const digest of blobs) {
    const links = kept.has(digest) ? undefined : await linksOf(files.blob(digest))
    if (links?.subject && (along.has(digest) || !kept.stands(links))) referrers.push({ digest, links })
  }
  for (let grew = true; grew; ) {
    grew = false
    for (const { digest, links } of referrers) {
      if (kept.has(digest) || !links.subject || !kept.has(links.subject)) continue
      await kept.add({ digest, mediaType: links.mediaType })
      grew = true
    }
  }
}

async function sizeOf(files: LayoutFiles, digests: readonly Digest[]): Promise<number> {
  let bytes = 0
  for (const digest of digests) bytes += (await stat(files.blob(digest))).size
  return bytes
}

async function sweep(files: LayoutFiles, removed: readonly Digest[], dead: readonly string[]): Promise<void> {
  for (const digest of removed) {
    await unlink(files.blob(digest))
    await ifPresent(unlink(join(files.verified, hexOf(digest))))
  }
  for (const path of dead) await ifPresent(unlink(path))
}

/** What a dead writer left. Of a pull that was broken off it is kept for a while, for the next one to go on from. */
async function unfinishedIn(
  files: LayoutFiles,
  lifeMs: number,
): Promise<readonly { readonly path: string; readonly bytes: number }[]> {
  const names = new Set((await ifPresent(readdir(files.ingest))) ?? [])
  const found: string[] = []
  for (const name of names) {
    const path = join(files.ingest, name)
    if (name.endsWith(JOURNAL)) {
      if (!names.has(partialOf(name))) found.push(path)
      continue
    }
    if (!isAbandoned(path) || (name.endsWith(PARTIAL) && (await isFresh(path, lifeMs)))) continue
    found.push(path)
    if (name.endsWith(PARTIAL) && names.has(basename(journalOf(path)))) found.push(journalOf(path))
  }
  return Promise.all(
    found.map(async (path) => ({ path, bytes: ((await ifPresent(stat(path)))?.blocks ?? 0) * 512 })),
  )
}

async function isFresh(path: string, lifeMs: number): Promise<boolean> {
  const found = await ifPresent(stat(path))
  return found !== undefined && Date.now() - found.mtimeMs < lifeMs
}
