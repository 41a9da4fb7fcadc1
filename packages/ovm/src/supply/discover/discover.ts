import { machinesIn } from "../../artifact/platforms/machines.ts"
import { readMachineIndex } from "../../artifact/platforms/read.ts"
import type { Descriptor } from "../../content/descriptor.ts"
import type { Digest } from "../../content/digest.ts"
import type { Call } from "../../content/interfaces.ts"
import { OvmError } from "../../errors.ts"
import { ahead } from "../../files/ahead.ts"
import { BUNDLE } from "../../signing/bundle/parse.ts"
import { type Authority, type EvidenceSource, SIGNATURE_PREDICATE } from "../../signing/interfaces.ts"
import { AT_A_TIME } from "../../signing/limits.ts"
import { heldAgainst } from "../../signing/reference.ts"
import { Survey, type SurveyFinding } from "../../signing/survey.ts"
import {
  type ArtifactNode,
  type AttachedStatement,
  isSbomPredicate,
  type Rejected,
  statementOf,
} from "./graph.ts"
import { artifactKindOf, type Manifest, readManifest } from "./manifest.ts"

export interface DiscoverOptions extends Call {
  /** Whose signatures are valid. */
  readonly authorities: readonly Authority[]
  /** The reference that what is valid has to be signed for, where it says for which; of the artifact itself alone. */
  readonly expected?: string
  /** How far to go: 1 lists what refers to the artifact itself. */
  readonly depth: number
  /** Only referrers of this artifactType. */
  readonly artifactType?: string
  /** Only attestations of this predicate type. */
  readonly predicateType?: string
}

/** Artifacts that one graph may have: each is kept until the end. */
export const NODE_LIMIT = 20_000
/**
 * Artifacts whose own referrers are asked for: each is a request, and in a layout a look at everything. Snapshots come
 * first.
 */
export const LISTING_LIMIT = 500

/**
 * What is known of the artifact behind `target`: what refers to it, what refers to that, and the base of a snapshot.
 * Each manifest is read and must name its subject; what a list merely claims is rejected. Bundles and documents are
 * read and let go, so that memory is bounded by the number of entries. Throws OVM_TOO_LARGE, OVM_KEY_INVALID, and what
 * the source throws.
 */
export async function discover(
  source: EvidenceSource,
  target: Descriptor,
  options: DiscoverOptions,
): Promise<ArtifactNode> {
  const manifest = await readManifest(source, target, options)
  return new Walk(source, options).node(manifest, options.depth)
}

class Walk {
  readonly #survey: Survey
  readonly #call: Call
  /** Nothing can refer to itself by digest; a source that says so is not believed. */
  readonly #seen = new Set<Digest>()
  #listings = 0

  constructor(
    private readonly source: EvidenceSource,
    private readonly options: DiscoverOptions,
  ) {
    this.#survey = new Survey(source, options.authorities)
    this.#call = options.signal ? { signal: options.signal } : {}
  }

  async node(manifest: Manifest, depth: number): Promise<ArtifactNode> {
    const { descriptor, subject } = manifest
    const kind = artifactKindOf(descriptor)
    this.#seen.add(descriptor.digest)
    if (this.#seen.size > NODE_LIMIT)
      throw new OvmError("OVM_TOO_LARGE", `the graph has more than ${NODE_LIMIT} artifacts`, {
        detail: { limit: NODE_LIMIT },
      })
    const explored = depth > 0 && this.#listings++ < LISTING_LIMIT
    const found = explored ? await this.#attached(descriptor, depth) : NOTHING
    const base = kind === "snapshot" && explored ? await this.#base(subject) : undefined
    const machines = kind === "index" && explored ? await this.#machines(descriptor, depth) : undefined
    const created = descriptor.annotations?.["org.opencontainers.image.created"]
    return {
      digest: descriptor.digest,
      size: descriptor.size,
      media_type: descriptor.mediaType,
      ...(descriptor.artifactType !== undefined && { artifact_type: descriptor.artifactType }),
      kind,
      ...(created !== undefined && { created }),
      ...(base && { base }),
      ...(machines && { machines }),
      ...found,
      ...(explored ? {} : { unexplored: true }),
    }
  }

  /** What it is and who signed it; its other snapshots are no part of this one's story. */
  async #base(subject: Descriptor | undefined): Promise<ArtifactNode | undefined> {
    if (!subject || this.#seen.has(subject.digest)) return undefined
    const manifest = await readManifest(this.source, subject, this.#call).catch((thrown: unknown) => {
      if (isMissing(thrown)) return undefined
      throw thrown
    })
    return manifest && this.node(manifest, 0)
  }

  /** Whose signatures a name's own tag is for: each is what the name means somewhere. */
  async #machines(index: Descriptor, depth: number): Promise<readonly ArtifactNode[]> {
    const found: ArtifactNode[] = []
    for (const { platform, descriptor } of machinesIn(
      await readMachineIndex(this.source, index, this.#call),
    )) {
      if (this.#seen.has(descriptor.digest)) continue
      const manifest = await readManifest(this.source, descriptor, this.#call).catch((thrown: unknown) => {
        if (isMissing(thrown)) return undefined
        throw thrown
      })
      if (manifest) found.push({ ...(await this.node(manifest, depth)), platform })
    }
    return found
  }

  async #attached(subject: Descriptor, depth: number): Promise<Attached> {
    const statements: AttachedStatement[] = []
    const manifests: Manifest[] = []
    const rejected: Rejected[] = []
    const { artifactType, predicateType } = this.options
    const type = predicateType === undefined ? artifactType : BUNDLE
    const listed = this.source.referrers(subject, {
      ...this.#call,
      unread: true,
      ...(type !== undefined && { artifactType: type }),
    })
    const look = (entry: Descriptor) => this.#look(subject.digest, entry)
    for await (const seen of ahead(listed, AT_A_TIME, look)) {
      if (!seen) continue
      // Where a registry says no types, entries of others come through the filter.
      if ("finding" in seen) {
        if (type === undefined || type === BUNDLE) statements.push(this.#statement(seen.finding, depth))
      } else if ("reason" in seen) rejected.push(seen)
      else if (type === undefined || seen.descriptor.artifactType === type) manifests.push(seen)
    }
    const nodes = await this.#nodes(manifests, depth - 1)
    if (artifactType === undefined)
      for await (const finding of this.#survey.legacy(subject.digest, this.#call))
        statements.push(this.#statement(finding, depth))
    return sorted(statements, nodes, rejected, predicateType)
  }

  /** Snapshots of it may have tags of their own. */
  #statement(finding: SurveyFinding, depth: number): AttachedStatement {
    const { expected } = this.options
    return statementOf(heldAgainst(finding, depth === this.options.depth ? expected : undefined))
  }

  async #nodes(manifests: readonly Manifest[], depth: number): Promise<readonly ArtifactNode[]> {
    const isSnapshot = ({ descriptor }: Manifest) => artifactKindOf(descriptor) === "snapshot"
    const [snapshots, others] = [manifests.filter(isSnapshot), manifests.filter((one) => !isSnapshot(one))]
    const ordered = (async function* () {
      yield* snapshots
      yield* others
    })()
    const nodes: ArtifactNode[] = []
    const node = async (one: Manifest) =>
      this.#seen.has(one.descriptor.digest) ? undefined : this.node(one, depth)
    for await (const found of ahead(ordered, AT_A_TIME, node)) if (found) nodes.push(found)
    return nodes
  }

  /** An entry of a list: a bundle that was judged, a manifest that was read, or why it is neither. */
  async #look(
    subject: Digest,
    entry: Descriptor,
  ): Promise<{ readonly finding: SurveyFinding } | Manifest | Rejected | undefined> {
    const { digest } = entry
    try {
      if (entry.artifactType === BUNDLE) {
        const finding = await this.#survey.bundle(subject, entry, this.#call)
        return finding && { finding }
      }
      const manifest = await readManifest(this.source, entry, this.#call)
      const { descriptor } = manifest
      if (manifest.subject?.digest !== subject)
        return { digest, reason: `its subject is ${manifest.subject?.digest ?? "nothing"}` }
      if (descriptor.artifactType !== BUNDLE) return manifest
      const finding = await this.#survey.bundle(subject, descriptor, this.#call)
      return finding && { finding }
    } catch (thrown) {
      // Lists have entries of what was deleted, and of what never was.
      if (isMissing(thrown)) return undefined
      if (thrown instanceof OvmError && BROKEN.includes(thrown.code))
        return { digest, reason: thrown.message }
      throw thrown
    }
  }
}

const BROKEN: readonly string[] = [
  "OVM_ARTIFACT_INVALID",
  "OVM_TOO_LARGE",
  "OVM_DIGEST_MISMATCH",
  "OVM_SIZE_MISMATCH",
]

function isMissing(thrown: unknown): boolean {
  return thrown instanceof OvmError && thrown.code === "OVM_CONTENT_MISSING"
}

type Attached = Pick<
  ArtifactNode,
  "signatures" | "sboms" | "attestations" | "snapshots" | "referrers" | "rejected"
>

const NOTHING: Attached = {
  signatures: [],
  sboms: [],
  attestations: [],
  snapshots: [],
  referrers: [],
  rejected: [],
}

function sorted(
  statements: readonly AttachedStatement[],
  nodes: readonly ArtifactNode[],
  rejected: readonly Rejected[],
  predicateType: string | undefined,
): Attached {
  const wanted = statements.filter(
    (one) => predicateType === undefined || one.predicate_type === predicateType,
  )
  const isSignature = ({ predicate_type: type }: AttachedStatement) => type === SIGNATURE_PREDICATE
  const isSbom = ({ predicate_type: type }: AttachedStatement) => isSbomPredicate(type)
  return {
    signatures: wanted.filter(isSignature),
    sboms: wanted.filter(isSbom),
    attestations: wanted.filter((one) => !isSignature(one) && !isSbom(one)),
    snapshots: nodes.filter(({ kind }) => kind === "snapshot"),
    referrers: nodes.filter(({ kind }) => kind !== "snapshot"),
    rejected,
  }
}
