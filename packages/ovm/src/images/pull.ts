import { type CopyEvent, copyGraph } from "../content/copy.ts"
import type { Descriptor } from "../content/descriptor.ts"
import type { Call } from "../content/interfaces.ts"
import type { LayoutStore } from "../content/layout/store.ts"
import { Remembered } from "../content/remembered.ts"
import { type ConnectOptions, connectRepository } from "../registry/connect.ts"
import type { Reference } from "../registry/reference.ts"
import type { Policy } from "../signing/policy/policy.ts"
import { evidenceIn } from "../signing/source.ts"
import { enterSnapshots } from "./along.ts"
import { askAhead, copyEvidence } from "./evidence.ts"
import { askedOf, readRoot } from "./root.ts"

export interface PullOptions extends Call, Pick<ConnectOptions, "settings" | "credentials" | "lanes"> {
  readonly plainHttp?: boolean
  /** Also what refers to the image (docs/design/0012). */
  readonly includeReferrers?: boolean
  readonly onProgress?: (event: CopyEvent) => void
  /** Hears, in one sentence, what the policy lets pass and somebody may want to know. */
  readonly onWarning?: (warning: string) => void
}

/**
 * Copies an image from its registry into `store` and names it there, with the evidence for it. What is no OVMS
 * artifact, one that breaks the specification, and what the policy refuses, is refused before its blobs are fetched
 * (OVMS-POL-082). The tag is resolved once: the digest decides from there on. Returns the descriptor of the OCI
 * manifest. Throws OVM_REFERENCE_INVALID without a host, OVM_POLICY_REFUSED, OVM_POLICY_INVALID, and what registry,
 * artifact and store can throw; then the store has no new name.
 */
export async function pullImage(
  store: LayoutStore,
  reference: Reference,
  policy: Policy,
  options: PullOptions = {},
): Promise<Descriptor> {
  const { plainHttp, settings, credentials, lanes, signal, onWarning } = options
  const call = signal ? { signal } : {}
  await policy.check()
  const repository = await connectRepository(reference, {
    pulling: true,
    ...(settings !== undefined && { settings }),
    ...(credentials && { credentials }),
    ...(lanes && { lanes }),
    ...(plainHttp !== undefined && { plainHttp }),
  })
  const { descriptor: root, bytes } = await repository.fetchReference(reference.target, call)
  const source = new Remembered(repository)
  source.know(root.digest, bytes)
  const evidence = evidenceIn(source)
  askAhead(evidence, root.digest, call)
  const found = await readRoot(source, root, call)
  const asked = askedOf(reference.toString(), reference, root.digest, found)
  const { decision, relied } = await policy.admit(asked, evidence, call)
  for (const warning of decision.warnings) onWarning?.(`${reference}: ${warning}`)
  const concurrency = repository.maxConcurrency
  // Of a snapshot its base, and then itself.
  const base = found.machine.descriptor
  const parts = base.digest === root.digest ? [base] : [base, root]
  for (const part of parts)
    await copyGraph(source, part, store, { ...options, ...(concurrency && { concurrency }) })
  if (options.includeReferrers) await enterSnapshots(store, parts, call)
  for (const subject of parts)
    await copyEvidence(evidence, { store, repository: reference.name }, { subject, relied }, call)
  await store.tag(root, reference.toString(), call)
  return root
}
