import { listSnapshots } from "../artifact/snapshot/list.ts"
import { readSnapshot, type Snapshot } from "../artifact/snapshot/read.ts"
import type { Descriptor } from "../content/descriptor.ts"
import type { Digest } from "../content/digest.ts"
import type { Call, Fetcher } from "../content/interfaces.ts"
import type { LayoutStore } from "../content/layout/store.ts"
import { OvmError, ofRegistry } from "../errors.ts"

/** Snapshots of `base` that a name stands for, the newest first (OVMS-SNP-110). What cannot be read is passed over. */
export async function namedSnapshots(store: LayoutStore, base: Descriptor, call: Call): Promise<Snapshot[]> {
  const named = new Set<Digest>()
  for await (const { target } of store.list(call)) named.add(target.digest)
  const listed = await listSnapshots(store, base, call)
  const descriptors = listed.map(({ descriptor }) => descriptor).filter(({ digest }) => named.has(digest))
  return await readableSnapshots(store, descriptors, call)
}

/** Those of them that can be read. Throws OVM_INTERRUPTED, and what has a registry fail. */
export async function readableSnapshots(
  source: Fetcher,
  descriptors: readonly Descriptor[],
  call: Call,
): Promise<Snapshot[]> {
  const found: Snapshot[] = []
  for (const descriptor of descriptors)
    found.push(...(await readSnapshot(source, descriptor, call).then((one) => [one], ignoreInvalid)))
  return found
}

function ignoreInvalid(thrown: unknown): [] {
  if (thrown instanceof OvmError && thrown.code !== "OVM_INTERRUPTED" && !ofRegistry(thrown)) return []
  throw thrown
}
