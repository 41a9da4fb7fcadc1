import { listSnapshots } from "../artifact/snapshot/list.ts"
import { readSnapshot, type Snapshot } from "../artifact/snapshot/read.ts"
import type { Descriptor } from "../content/descriptor.ts"
import type { Digest } from "../content/digest.ts"
import type { Call } from "../content/interfaces.ts"
import type { LayoutStore } from "../content/layout/store.ts"
import { OvmError } from "../errors.ts"

/** Snapshots of `base` that a name stands for, the newest first (OVMS-SNP-110). What cannot be read is passed over. */
export async function namedSnapshots(store: LayoutStore, base: Descriptor, call: Call): Promise<Snapshot[]> {
  const named = new Set<Digest>()
  for await (const { target } of store.list(call)) named.add(target.digest)
  const found: Snapshot[] = []
  for (const { descriptor } of await listSnapshots(store, base, call))
    if (named.has(descriptor.digest))
      found.push(...(await readSnapshot(store, descriptor, call).then((one) => [one], ignoreInvalid)))
  return found
}

function ignoreInvalid(thrown: unknown): [] {
  if (thrown instanceof OvmError && thrown.code !== "OVM_INTERRUPTED") return []
  throw thrown
}
