import type { Descriptor } from "../../content/descriptor.ts"
import type { Call, ReferrerLister } from "../../content/interfaces.ts"
import { SNAPSHOT_TYPE } from "../types.ts"
import { type SnapshotSummary, summaryOf } from "./annotations.ts"

export interface ListedSnapshot {
  readonly descriptor: Descriptor
  /** A hint: the descriptor decides (spec/snapshot.md). */
  readonly summary: SnapshotSummary
}

/** The snapshots of `base`, newest first, without reading one of them. Those that say no time come last. */
export async function listSnapshots(
  store: ReferrerLister,
  base: Descriptor,
  call: Call = {},
): Promise<readonly ListedSnapshot[]> {
  const found = await Array.fromAsync(store.referrers(base, { ...call, artifactType: SNAPSHOT_TYPE }))
  return found
    .map((descriptor) => ({ descriptor, summary: summaryOf(descriptor.annotations) }))
    .sort((a, b) => timeOf(b) - timeOf(a))
}

function timeOf({ summary }: ListedSnapshot): number {
  // What is no time gives NaN, with which nothing sorts.
  return Date.parse(summary.created ?? "") || 0
}
