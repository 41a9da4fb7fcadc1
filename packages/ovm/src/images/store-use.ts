import { isSnapshotType } from "../artifact/types.ts"
import type { Digest } from "../content/digest.ts"
import type { Call } from "../content/interfaces.ts"
import { LayoutFiles } from "../content/layout/files.ts"
import { linksOf, listBlobs } from "../content/layout/manifests.ts"
import { openToRead } from "../content/layout/reading.ts"
import { isManifest } from "../content/manifest.ts"
import { bytesOnDisk, diskUsage } from "../files/disk-usage.ts"
import type { Paths } from "../host/paths.ts"
import { parseLegacyTag } from "../signing/legacy/tags.ts"
import { collectImages, type Freed } from "./collect.ts"

/** What a named artifact takes of the disk, in bytes. */
export interface NamedUse {
  readonly names: readonly string[]
  readonly digest: Digest
  readonly type: "machine" | "snapshot"
  /** Of all its blobs, but for those of a snapshot's base. */
  readonly size: number
  /** Of those that no other named artifact has. */
  readonly own: number
}

/** What is in the store, and what `ovm prune` would free of that and of the cache. Bytes on the disk. */
export interface StoreUse {
  readonly named: readonly NamedUse[]
  /** Of what images have, their signatures and what a machine holds among it; a blob counts once. */
  readonly images: number
  /** Of what snapshots have and images have not. */
  readonly snapshots: number
  /** Content that nothing holds. */
  readonly unused: { readonly blobs: number; readonly size: number }
  /** Left by pulls and the like; those of the last week the next one goes on with. */
  readonly unfinished: number
  readonly prune: Freed
}

/** Nothing is changed. Throws what collectImages throws. */
export async function storeUse(place: Pick<Paths, "store" | "cache">, call: Call = {}): Promise<StoreUse> {
  const files = new LayoutFiles(place.store)
  const artifacts = await namedIn(place.store, files)
  const prune = await collectImages(place, { ...call, dryRun: true, cache: true })
  const sizes = new Map<Digest, number>()
  for (const digest of await listBlobs(files)) sizes.set(digest, await bytesOnDisk(files.blob(digest)))
  const sum = (digests: Iterable<Digest>) =>
    Array.from(digests).reduce((total, digest) => total + (sizes.get(digest) ?? 0), 0)
  const going = new Set(prune.removed)
  const ofType = (type: NamedUse["type"]) =>
    artifacts.filter((one) => one.type === type).flatMap(({ blobs }) => [...blobs])
  const ofImages = new Set(ofType("machine"))
  const ofSnapshots = new Set(ofType("snapshot").filter((digest) => !ofImages.has(digest)))
  const rest = [...sizes.keys()].filter((digest) => !ofSnapshots.has(digest) && !going.has(digest))
  const holders = new Map<Digest, number>()
  for (const digest of artifacts.flatMap(({ blobs }) => [...blobs]))
    holders.set(digest, (holders.get(digest) ?? 0) + 1)
  return {
    named: artifacts.map(({ blobs, ...artifact }) => ({
      ...artifact,
      size: sum(blobs),
      own: sum([...blobs].filter((digest) => holders.get(digest) === 1)),
    })),
    images: sum(rest),
    snapshots: sum(ofSnapshots),
    unused: { blobs: going.size, size: sum(going) },
    unfinished: await diskUsage(files.ingest),
    prune,
  }
}

type Named = Pick<NamedUse, "names" | "digest" | "type"> & { readonly blobs: ReadonlySet<Digest> }

/** Every digest that has a name, in the order of the names. */
async function namedIn(root: string, files: LayoutFiles): Promise<readonly Named[]> {
  await using store = await openToRead(root)
  const names = new Map<Digest, string[]>()
  // Signatures of the older form have names of their own.
  for await (const { reference, target } of store.list())
    if (!parseLegacyTag(reference.slice(reference.lastIndexOf(":") + 1)))
      names.set(target.digest, [...(names.get(target.digest) ?? []), reference])
  const found = await Promise.all(
    [...names].map(async ([digest, names]) => ({ names, digest, ...(await reachOf(files, digest)) })),
  )
  return found.sort((a, b) => (a.names[0] ?? "").localeCompare(b.names[0] ?? ""))
}

/** All blobs of an artifact; of a snapshot its base is none. */
async function reachOf(files: LayoutFiles, root: Digest): Promise<Pick<Named, "type" | "blobs">> {
  const blobs = new Set<Digest>()
  let type: NamedUse["type"] = "machine"
  for (const pending = [root]; pending.length > 0; ) {
    const digest = pending.pop()
    if (digest === undefined || blobs.has(digest)) continue
    blobs.add(digest)
    const links = await linksOf(files.blob(digest))
    if (digest === root && links?.types.some(isSnapshotType)) type = "snapshot"
    for (const child of links?.children ?? [])
      if (isManifest(child)) pending.push(child.digest)
      else blobs.add(child.digest)
  }
  return { type, blobs }
}
