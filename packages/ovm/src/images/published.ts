import { listSnapshots } from "../artifact/snapshot/list.ts"
import { readSnapshot, type Snapshot } from "../artifact/snapshot/read.ts"
import type { Descriptor } from "../content/descriptor.ts"
import type { Call } from "../content/interfaces.ts"
import type { LayoutStore } from "../content/layout/store.ts"
import { Remembered } from "../content/remembered.ts"
import type { Reference } from "../registry/reference.ts"
import type { Policy } from "../signing/policy/policy.ts"
import { readableSnapshots } from "./named-snapshots.ts"
import { pullImage, type Registries, repositoryOf } from "./pull.ts"

/** So many of one machine are looked at, the newest by what the registry says. */
const MOST = 32

/**
 * Snapshots of `base` in the repository of `reference`, the newest first (OVMS-SNP-113): their manifests and
 * descriptors are read, and nothing else. What cannot be read is passed over. Throws what a registry can fail with.
 */
export async function publishedSnapshots(
  reference: Reference,
  base: Descriptor,
  { signal, ...registries }: Registries & Call,
): Promise<readonly Snapshot[]> {
  const call = signal ? { signal } : {}
  const source = new Remembered(await repositoryOf(reference, registries))
  const listed = (await listSnapshots(source, base, call)).slice(0, MOST)
  const found = await readableSnapshots(
    source,
    listed.map(({ descriptor }) => descriptor),
    call,
  )
  return found
    .filter((one) => one.base.digest === base.digest)
    .sort((a, b) => Date.parse(b.snapshot.created) - Date.parse(a.snapshot.created))
}

/**
 * Pulls the snapshot that `reference` names by its digest, if the policy relies on evidence about it (OVMS-SNP-114,
 * OVMS-SNP-115). Throws what pullImage throws.
 */
export async function pullSnapshot(
  store: LayoutStore,
  reference: Reference,
  policy: Policy,
  { signal, ...registries }: Registries & Call,
): Promise<Snapshot> {
  const call = signal ? { signal } : {}
  const pulled = await pullImage(store, reference, policy, { ...registries, ...call, vouched: true })
  return await readSnapshot(store, pulled, call)
}
