import { OvmError } from "../errors.ts"
import type { Descriptor } from "./descriptor.ts"
import type { Digest } from "./digest.ts"
import type { Call, Fetcher, ReferrerLister } from "./interfaces.ts"
import { isManifest, parseLinks } from "./manifest.ts"
import { fetchAll, MANIFEST_LIMIT } from "./read.ts"

/** More than any machine or index of machines has. */
const NODE_LIMIT = 100_000

export interface Graph {
  /** Everything, once. */
  readonly nodes: readonly Descriptor[]
  /** Those of them that were found as somebody's referrers. */
  readonly referrers: readonly Descriptor[]
}

/**
 * All content that `roots` refer to, themselves included; with `includeReferrers` also what refers to any of it, and so
 * on. Throws OVM_ARTIFACT_INVALID, OVM_TOO_LARGE, OVM_UNSUPPORTED for a source that cannot list referrers, and what it
 * throws.
 */
export async function graphOf(
  source: Fetcher & Partial<ReferrerLister>,
  roots: readonly Descriptor[],
  options: Call & { includeReferrers?: boolean } = {},
): Promise<Graph> {
  const { signal, includeReferrers = false } = options
  const call = signal ? { signal } : {}
  if (includeReferrers && !source.referrers)
    throw new OvmError("OVM_UNSUPPORTED", "the source cannot list referrers")
  const nodes = new Map<Digest, Descriptor>()
  const referrers: Descriptor[] = []
  const pending = [...roots]
  for (let next = pending.pop(); next; next = pending.pop()) {
    if (nodes.has(next.digest)) continue
    if (nodes.size >= NODE_LIMIT) throw new OvmError("OVM_TOO_LARGE", `more than ${NODE_LIMIT} blobs`)
    nodes.set(next.digest, next)
    if (!isManifest(next)) continue
    const bytes = await fetchAll(source, next, MANIFEST_LIMIT, call)
    pending.push(...parseLinks(bytes, `${next.mediaType} ${next.digest}`).children)
    if (!includeReferrers || !source.referrers) continue
    for await (const referrer of source.referrers(next, call)) {
      referrers.push(referrer)
      pending.push(referrer)
    }
  }
  return { nodes: [...nodes.values()], referrers }
}
