import type { Descriptor } from "../../content/descriptor.ts"
import type { Digest } from "../../content/digest.ts"
import type { SurveyFinding } from "../../signing/survey.ts"

/** An artifact, and what others attached to it. `ovm discover --json` prints it as it is. Sizes are bytes. */
export interface ArtifactNode {
  readonly digest: Digest
  readonly size: number
  readonly media_type: string
  /** Or the type of the config, where there is none. */
  readonly artifact_type?: string
  readonly kind: "machine" | "snapshot" | "index" | "sbom" | "other"
  /** Of a machine that an index has: what it is there for. */
  readonly platform?: string
  /** As its annotations say. */
  readonly created?: string
  /** Of a snapshot. */
  readonly base?: ArtifactNode
  /** Of an index: those that are there. */
  readonly machines?: readonly ArtifactNode[]
  readonly signatures: readonly AttachedStatement[]
  /** Those about its content among the attestations. */
  readonly sboms: readonly AttachedStatement[]
  readonly attestations: readonly AttachedStatement[]
  readonly snapshots: readonly ArtifactNode[]
  /** Other artifacts that name it as their subject; documents that were attached without a signature are among them. */
  readonly referrers: readonly ArtifactNode[]
  /** Entries of a list of referrers that are not what the list says. */
  readonly rejected: readonly Rejected[]
  /** There may be more behind it: the depth that was asked for ends here. */
  readonly unexplored?: true
}

/** A signature or attestation, and what to think of it; members are called as `ovm verify --json` calls them. */
export interface AttachedStatement {
  readonly status: SurveyFinding["status"]
  readonly predicate_type: string
  readonly form: "bundle" | "legacy"
  /** Of the OCI manifest that it was found in. */
  readonly manifest: Digest
  /** Who signed, where it is valid. */
  readonly key_id?: string
  readonly identity?: string
  readonly issuer?: string
  /** The key that it names as its own, which nobody verified. */
  readonly named_key?: string
  readonly signed_for?: string
  readonly signed_at?: string
  readonly code?: SurveyFinding["code"]
  readonly reason?: string
}

export interface Rejected {
  readonly digest: Digest
  readonly reason: string
}

export function statementOf(finding: SurveyFinding): AttachedStatement {
  const { evidence, status, signatory, namedKey, signedReference, signedAt, code, reason } = finding
  const { predicateType, form, manifest } = evidence
  return {
    status,
    predicate_type: predicateType,
    form,
    manifest: manifest.digest,
    ...(signatory?.kind === "key" && { key_id: signatory.keyId }),
    ...(signatory?.kind === "certificate" && { identity: signatory.identity, issuer: signatory.issuer }),
    ...(!signatory && namedKey !== undefined && { named_key: namedKey }),
    ...(signedReference !== undefined && { signed_for: signedReference }),
    ...(signedAt !== undefined && { signed_at: signedAt }),
    ...(code !== undefined && { code }),
    ...(reason !== undefined && { reason }),
  }
}

const SBOM_PREDICATES: readonly string[] = [
  "https://cyclonedx.org/bom",
  "https://spdx.dev/Document",
  // As some tools have it: with the version.
  "https://cyclonedx.org/bom/v1.4",
  "https://spdx.dev/Document/v2.3",
]

export function isSbomPredicate(predicateType: string): boolean {
  return SBOM_PREDICATES.includes(predicateType)
}

/** What tools call a document that they attach as it is. */
export function isSbomType({ artifactType = "" }: Pick<Descriptor, "artifactType">): boolean {
  return /^(application\/(spdx|vnd\.cyclonedx|vnd\.syft)|text\/spdx)\b/.test(artifactType)
}
