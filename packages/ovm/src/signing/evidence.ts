import type { Descriptor } from "../content/descriptor.ts"
import type { Digest } from "../content/digest.ts"
import type { Call } from "../content/interfaces.ts"
import { OCI_MANIFEST } from "../content/manifest.ts"
import { fetchAll, MANIFEST_LIMIT } from "../content/read.ts"
import { parseReferrer } from "../content/referrers.ts"
import { OvmError } from "../errors.ts"
import { BUNDLE } from "./bundle/parse.ts"
import { type Evidence, type EvidenceSource, SIGNATURE_PREDICATE } from "./interfaces.ts"
import { malformedSignature } from "./json.ts"
import { layersOf } from "./legacy/layers.ts"
import { SIMPLE_SIGNING } from "./legacy/payload.ts"
import { legacyTag, PREDICATE_ANNOTATION } from "./legacy/tags.ts"
import { EVIDENCE_LIMIT } from "./limits.ts"
import { kindOf } from "./statement.ts"

/** Where a manifest says of which predicate type the bundle in it is: a hint that saves fetching it. */
export const PREDICATE_HINT = "dev.sigstore.bundle.predicateType"

/** A place where evidence should be. */
export type Candidate =
  | { readonly form: "bundle"; readonly manifest: Descriptor }
  | { readonly form: "legacy"; readonly manifest: Descriptor; readonly layer: Descriptor }
  | { readonly form: "legacy"; readonly manifest: Descriptor; readonly fault: OvmError }

/**
 * Where evidence of `subject` should be, in both forms whatever the other has: bundles among its referrers, then the
 * layers under the tag of the older form (OVMS-SIG-001). Nothing of it is verified, and referrers of other types are
 * passed over. Throws OVM_TOO_LARGE above 20,000 candidates, and what the source throws: a list that cannot be had is
 * no empty list.
 */
export async function* candidates(
  source: EvidenceSource,
  subject: Digest,
  kind: Evidence["kind"],
  call: Call,
): AsyncIterable<Candidate> {
  const legacy = layers(source, subject, kind, call)
  legacy.catch(() => {})
  let seen = 0
  const counted = <T>(candidate: T): T => {
    if (++seen <= EVIDENCE_LIMIT) return candidate
    throw new OvmError("OVM_TOO_LARGE", `${subject} has more than ${EVIDENCE_LIMIT} referrers to look at`, {
      detail: { limit: EVIDENCE_LIMIT },
    })
  }
  for await (const manifest of listedBundles(source, subject, call))
    yield counted({ form: "bundle", manifest })
  for (const candidate of await legacy) yield counted(candidate)
}

/**
 * What is listed for `subject` as a bundle, or without a type: it is read anyway. One question, for whoever remembers
 * its answer.
 */
export function listedBundles(
  source: EvidenceSource,
  subject: Digest,
  call: Call,
): AsyncIterable<Descriptor> {
  const target = { mediaType: OCI_MANIFEST, digest: subject, size: 0 }
  return source.referrers(target, { ...call, artifactType: BUNDLE, unread: true })
}

async function layers(
  source: EvidenceSource,
  subject: Digest,
  kind: Evidence["kind"],
  call: Call,
): Promise<readonly Candidate[]> {
  const tag = legacyTag(subject, kind)
  const manifest = await source.tagged(tag, call)
  if (!manifest) return []
  try {
    const found = await layersOf(source, manifest, `the tag ${tag}`, call)
    return found.map((layer) => ({ form: "legacy", manifest, layer }) as const)
  } catch (thrown) {
    return [{ form: "legacy", manifest, fault: faultOf(thrown) }]
  }
}

/** Whose evidence is read, and from where. */
export interface Inquiry {
  readonly source: EvidenceSource
  readonly subject: Digest
  readonly call: Call
}

/** A candidate that could be evidence, with the descriptor of what has to be read for it. */
export interface Piece {
  readonly evidence: Evidence
  /** Of the layer, in the older form. */
  readonly annotations: Readonly<Record<string, string>>
}

/**
 * Looks at what surrounds a candidate: the manifest of a bundle. Undefined for what is none after all, or is gone.
 * Throws what faultOf understands.
 */
export async function pieceOf(
  inquiry: Inquiry,
  candidate: Candidate,
  kind: Evidence["kind"],
): Promise<Piece | undefined> {
  const { manifest } = candidate
  if (candidate.form === "bundle") return bundlePiece(inquiry, manifest)
  if ("fault" in candidate) throw candidate.fault
  const { layer } = candidate
  const annotations = layer.annotations ?? {}
  const claimed = annotations[PREDICATE_ANNOTATION] ?? ""
  const predicateType = layer.mediaType === SIMPLE_SIGNING ? SIGNATURE_PREDICATE : claimed
  if (kind === "attestation" && layer.mediaType === SIMPLE_SIGNING) return undefined
  const evidence: Evidence = {
    form: "legacy",
    kind: kindOf(predicateType),
    predicateType,
    manifest,
    blob: layer,
  }
  return { evidence, annotations }
}

async function bundlePiece(
  { source, subject, call }: Inquiry,
  manifest: Descriptor,
): Promise<Piece | undefined> {
  const what = `the referrer ${manifest.digest}`
  let bytes: Uint8Array
  try {
    bytes = await fetchAll(source, manifest, MANIFEST_LIMIT, call)
  } catch (error) {
    // Lists of referrers have entries of what was deleted.
    if (error instanceof OvmError && error.code === "OVM_CONTENT_MISSING") return undefined
    throw error
  }
  const referrer = parseReferrer(bytes)
  if (!referrer) throw malformedSignature(`${what} is not a manifest with a subject`)
  const { annotations = {}, artifactType } = referrer.descriptor
  // Registries that list no types list what is none of ours, too; Cosign's config has the type where artifactType was
  // dropped.
  const { layers = [], config } = JSON.parse(new TextDecoder().decode(bytes)) as {
    layers?: Descriptor[]
    config?: Descriptor
  }
  if (artifactType !== BUNDLE && config?.artifactType !== BUNDLE) return undefined
  if (referrer.subject !== subject)
    throw new OvmError(
      "OVM_SIGNATURE_SUBJECT_MISMATCH",
      `${what} is listed for ${subject}, but its subject is ${referrer.subject}`,
    )
  const [blob] = layers
  if (!blob || layers.length !== 1)
    throw malformedSignature(`${what} has ${layers.length} layers, not one bundle`)
  if (blob.mediaType !== BUNDLE)
    throw malformedSignature(`${what} has a layer of type ${blob.mediaType}, not a bundle`)
  const predicateType = annotations[PREDICATE_HINT] ?? ""
  return {
    evidence: { form: "bundle", kind: kindOf(predicateType), predicateType, manifest, blob },
    annotations,
  }
}

const FAULTS: readonly string[] = [
  "OVM_SIGNATURE_MALFORMED",
  "OVM_SIGNATURE_SUBJECT_MISMATCH",
  "OVM_DIGEST_MISMATCH",
  "OVM_SIZE_MISMATCH",
  "OVM_TOO_LARGE",
]
const MALFORMED: readonly string[] = ["OVM_ARTIFACT_INVALID", "OVM_CONTENT_MISSING"]

/** An error that is one bad piece's own and says nothing about the others. Throws anything else. */
export function faultOf(thrown: unknown): OvmError {
  if (thrown instanceof OvmError && FAULTS.includes(thrown.code)) return thrown
  if (thrown instanceof OvmError && MALFORMED.includes(thrown.code))
    return malformedSignature(thrown.message, thrown)
  throw thrown
}
