import { type CopyEvent, copyGraph } from "../content/copy.ts"
import type { Descriptor } from "../content/descriptor.ts"
import type { LayoutStore } from "../content/layout/store.ts"
import { Remembered } from "../content/remembered.ts"
import { OvmError } from "../errors.ts"
import { type ConnectOptions, connectRepository } from "../registry/connect.ts"
import type { Reference } from "../registry/reference.ts"
import type { Policy } from "../signing/policy/policy.ts"
import { evidenceIn } from "../signing/source.ts"
import { enterSnapshots } from "./along.ts"
import { copyIndex, machinesBehind, type WantedMachines } from "./behind.ts"
import { askAhead, copyEvidence, type Relied } from "./evidence.ts"
import { askedOf, type Root, readRoot } from "./root.ts"

/** How registries are reached; their lanes are what all pulls of one daemon have in common. */
export type Registries = Pick<ConnectOptions, "settings" | "credentials" | "lanes">

export interface PullOptions extends WantedMachines, Registries {
  readonly plainHttp?: boolean
  /** Also what refers to the image (docs/design/0012). */
  readonly includeReferrers?: boolean
  readonly onProgress?: (event: CopyEvent) => void
  /** Hears, in one sentence, what the policy lets pass and somebody may want to know. */
  readonly onWarning?: (warning: string) => void
  /** Refuse a snapshot that the policy lets pass without relying on evidence about that very one (OVMS-SNP-114). */
  readonly vouched?: boolean
}

/** The repository of `reference`, to be read from. */
export async function repositoryOf(
  reference: Reference,
  { plainHttp, settings, credentials, lanes }: Pick<PullOptions, "plainHttp" | keyof Registries>,
): ReturnType<typeof connectRepository> {
  return await connectRepository(reference, {
    pulling: true,
    ...(settings !== undefined && { settings }),
    ...(credentials && { credentials }),
    ...(lanes && { lanes }),
    ...(plainHttp !== undefined && { plainHttp }),
  })
}

/**
 * Copies an image from its registry into `store` and names it there, with the evidence for it: of an index the machine
 * for one platform, or all of them. What is no OVMS artifact, one that breaks the specification, and what the policy
 * refuses, is refused before its blobs are fetched (OVMS-POL-082). The tag is resolved once: the digest decides from
 * there on. Returns the descriptor of the OCI manifest or index. Throws OVM_REFERENCE_INVALID without a host,
 * OVM_PLATFORM_MISSING, OVM_POLICY_REFUSED, OVM_POLICY_INVALID, and what registry, artifact and store can throw; then
 * the store has no new name.
 */
export async function pullImage(
  store: LayoutStore,
  reference: Reference,
  policy: Policy,
  options: PullOptions = {},
): Promise<Descriptor> {
  const { signal, onWarning } = options
  const call = signal ? { signal } : {}
  await policy.check()
  const repository = await repositoryOf(reference, options)
  const { descriptor: root, bytes } = await repository.fetchReference(reference.target, call)
  const source = new Remembered(repository)
  source.know(root.digest, bytes)
  const evidence = evidenceIn(source)
  askAhead(evidence, root.digest, call)
  const roots = await machinesBehind(source, root, options)
  const judged: { readonly found: Root; readonly relied: Relied }[] = []
  for (const { target, index } of roots) {
    const found = await readRoot(source, target, call)
    const by = { reference: reference.toString(), name: reference, target: root, index }
    const { decision, relied } = await policy.admit(askedOf(by, found), evidence, call)
    if (options.vouched && found.snapshot) assertVouched(reference, found.snapshot.descriptor, relied)
    for (const warning of decision.warnings) onWarning?.(`${reference}: ${warning}`)
    judged.push({ found, relied })
  }
  const concurrency = repository.maxConcurrency
  const copying = { ...options, ...(concurrency && { concurrency }) }
  // Of a snapshot its base, and then itself.
  const parts = judged.flatMap(({ found }) => partsOf(found))
  for (const part of parts) await copyGraph(source, part, store, copying)
  const index = roots.find((one) => one.index)?.index
  if (index) await copyIndex(source, index, store, copying)
  if (options.includeReferrers) await enterSnapshots(store, parts, call)
  const relied = judged.flatMap((one) => one.relied)
  for (const subject of index ? [...parts, index] : parts)
    await copyEvidence(evidence, { store, repository: reference.name }, { subject, relied }, call)
  await store.tag(root, reference.toString(), call)
  return root
}

function assertVouched(reference: Reference, { digest }: Descriptor, relied: Relied): void {
  if (relied.some(({ subject }) => subject === digest)) return
  throw new OvmError(
    "OVM_POLICY_REFUSED",
    `${reference}: nobody whom the policy trusts has signed the snapshot`,
    {
      hint: "Have the policy ask for signatures of snapshots, or pull this one by its name.",
    },
  )
}

function partsOf({ machine, snapshot }: Root): readonly Descriptor[] {
  const base = machine.descriptor
  return snapshot && snapshot.descriptor.digest !== base.digest ? [base, snapshot.descriptor] : [base]
}
