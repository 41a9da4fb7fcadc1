import { stat } from "node:fs/promises"
import type { Descriptor } from "../../content/descriptor.ts"
import { type Digest, digestOf } from "../../content/digest.ts"
import type { LayoutFiles } from "../../content/layout/files.ts"
import { linksOf, listBlobs } from "../../content/layout/manifests.ts"
import { isManifest } from "../../content/manifest.ts"
import { parseReferrer, type Referrer } from "../../content/referrers.ts"
import { bytesIfPresent, ifPresent } from "../../files/present.ts"

interface Node {
  readonly children: readonly Descriptor[]
  readonly referrer: Referrer | undefined
}

/** The manifests of a layout and what they refer to. A blob never changes, so each is looked at once. */
export class LayoutGraph {
  #nodes: ReadonlyMap<Digest, Node | undefined> = new Map()

  constructor(private readonly files: LayoutFiles) {}

  /** Looks at blobs that are new. */
  async refresh(): Promise<void> {
    const nodes = new Map<Digest, Node | undefined>()
    for (const digest of await listBlobs(this.files))
      nodes.set(digest, this.#nodes.has(digest) ? this.#nodes.get(digest) : await this.#read(digest))
    this.#nodes = nodes
  }

  /** All that `roots` refer to, themselves too, and the referrers of that, and what those refer to. */
  reachable(roots: readonly Descriptor[]): Map<Digest, Descriptor> {
    const found = new Map<Digest, Descriptor>()
    const referrers = new Map<Digest, Descriptor[]>()
    for (const node of this.#nodes.values()) {
      if (!node?.referrer) continue
      const { subject, descriptor } = node.referrer
      referrers.set(subject, [...(referrers.get(subject) ?? []), descriptor])
    }
    const pending = [...roots]
    for (let next = pending.pop(); next; next = pending.pop()) {
      if (found.has(next.digest)) continue
      found.set(next.digest, next)
      if (!isManifest(next)) continue
      pending.push(...(this.#nodes.get(next.digest)?.children ?? []))
      pending.push(...(referrers.get(next.digest) ?? []))
    }
    return found
  }

  referrer(digest: Digest): Referrer | undefined {
    return this.#nodes.get(digest)?.referrer
  }

  async #read(digest: Digest): Promise<Node | undefined> {
    const path = this.files.blob(digest)
    const links = await linksOf(path)
    const bytes = links && (await bytesIfPresent(path))
    return bytes && digestOf(bytes) === digest
      ? { children: links.children, referrer: parseReferrer(bytes) }
      : undefined
  }
}

/** What changes when blobs or names come or go. */
export async function stampOf(files: LayoutFiles): Promise<string> {
  const stats = await Promise.all(
    [files.index, files.blobs].map((path) => ifPresent(stat(path, { bigint: true }))),
  )
  return stats.map((found) => `${found?.ino} ${found?.mtimeNs}`).join(" ")
}
