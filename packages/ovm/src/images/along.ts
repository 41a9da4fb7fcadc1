import { isIndex } from "../artifact/platforms/read.ts"
import { isSnapshot, readSnapshot } from "../artifact/snapshot/read.ts"
import { isSnapshotType } from "../artifact/types.ts"
import type { Descriptor } from "../content/descriptor.ts"
import type { Digest } from "../content/digest.ts"
import { graphOf } from "../content/graph.ts"
import type { Call, Fetcher, Resolver } from "../content/interfaces.ts"
import type { LayoutStore } from "../content/layout/store.ts"
import { parseLinks } from "../content/manifest.ts"
import { fetchAll } from "../content/read.ts"
import { OvmError } from "../errors.ts"

/**
 * Lists the snapshots that came along with `roots`, as referrers, so that they live as long as what they are of though
 * no name stands for them (OVMS-SNP-152).
 */
export async function enterSnapshots(
  store: LayoutStore,
  roots: readonly Descriptor[],
  { signal }: Call,
): Promise<void> {
  const call = signal ? { signal } : {}
  const { referrers } = await graphOf(store, roots, { ...call, includeReferrers: true })
  for (const referrer of referrers)
    if (referrer.artifactType && isSnapshotType(referrer.artifactType)) await store.enter(referrer, call)
}

/** What `root` needs beside itself: of a snapshot its base, where `source` has it. */
export async function baseIn(
  source: Fetcher & Resolver,
  root: Descriptor,
  { signal }: Call,
): Promise<Descriptor | undefined> {
  const call = signal ? { signal } : {}
  if (!(await isSnapshot(source, root, call))) return undefined
  const { base } = await readSnapshot(source, root, call)
  try {
    await source.resolve(base.digest, call)
    return base
  } catch (thrown) {
    if (thrown instanceof OvmError && thrown.code === "OVM_NAME_UNKNOWN") return undefined
    throw thrown
  }
}

/** What evidence of `root` may be about: of an index its machines too (OVMS-IDX-027), whatever kind of index it is. */
export async function subjectsOf(source: Fetcher, root: Descriptor, call: Call): Promise<readonly Digest[]> {
  if (!isIndex(root)) return [root.digest]
  const { children } = parseLinks(await fetchAll(source, root, undefined, call), root.digest)
  return [root, ...children].map(({ digest }) => digest)
}
