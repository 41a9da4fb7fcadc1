import { readArtifact } from "../artifact/read.ts"
import { isSnapshot, readSnapshot } from "../artifact/snapshot-read.ts"
import { type CopyEvent, copyGraph } from "../content/copy.ts"
import type { Descriptor } from "../content/descriptor.ts"
import type { Call, Fetcher } from "../content/interfaces.ts"
import type { LayoutStore } from "../content/layout/store.ts"
import { connect } from "../registry/connect.ts"
import type { Reference } from "../registry/reference.ts"

export interface PullOptions extends Call {
  readonly plainHttp?: boolean
  /** Also what refers to the image (docs/design/0012). */
  readonly includeReferrers?: boolean
  readonly onProgress?: (event: CopyEvent) => void
}

/**
 * Copies an image from its registry into `store` and names it there. What is no OVMS artifact, or one that breaks the
 * specification, is refused before its blobs are fetched. The tag is resolved once: the digest decides from there on.
 * Returns the descriptor of the OCI manifest. Throws OVM_REFERENCE_INVALID without a host, and what registry, artifact and
 * store can throw; then the store has no new name.
 */
export async function pullImage(
  store: LayoutStore,
  reference: Reference,
  options: PullOptions = {},
): Promise<Descriptor> {
  const { plainHttp, signal } = options
  const call = signal ? { signal } : {}
  const repository = await connect(reference, {
    pulling: true,
    ...(plainHttp !== undefined && { plainHttp }),
  })
  const root = await repository.resolve(reference.target, call)
  const concurrency = repository.maxConcurrency
  for (const part of await judged(repository, root, call))
    await copyGraph(repository, part, store, { ...options, ...(concurrency && { concurrency }) })
  await store.tag(root, reference.toString(), call)
  return root
}

/** What has to be copied: a machine alone, or a snapshot's base and then the snapshot. */
async function judged(source: Fetcher, root: Descriptor, call: Call): Promise<readonly Descriptor[]> {
  if (!(await isSnapshot(source, root, call))) return [(await readArtifact(source, root, call)).descriptor]
  const { base } = await readSnapshot(source, root, call)
  return [(await readArtifact(source, base, call)).descriptor, root]
}
