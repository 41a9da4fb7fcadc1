import type { Digest } from "../../content/digest.ts"
import { OCI_MANIFEST } from "../../content/manifest.ts"
import { MemoryStore } from "../../content/memory.ts"
import { OvmError } from "../../errors.ts"
import { parseReference } from "../../registry/reference.ts"
import { attachBundle, pushed } from "../../signing/bundle/write.ts"
import { ENVELOPE } from "../../signing/envelope.ts"
import type { EvidenceSource, Verdict } from "../../signing/interfaces.ts"
import { legacyTag } from "../../signing/legacy/tags.ts"
import { heldAgainst } from "../../signing/reference.ts"
import { evidenceIn } from "../../signing/source.ts"
import { verdicts } from "../../signing/verdicts.ts"
import { AskedJson } from "./asked-json.ts"

/** A bundle, or a layer of the older form, beside its subject. */
export interface Beside {
  readonly subject: Digest
  readonly bundle?: Uint8Array
  readonly layer?: {
    readonly mediaType: string
    readonly annotations: Readonly<Record<string, string>>
    readonly content: Uint8Array
  }
}

/** The members of a question that are such a piece. */
export function besideIn(question: AskedJson): Beside {
  const subject = question.digest("subject")
  const bundle = question.optional("bundle", (name) => question.bytes(name))
  const layer = question.optional("layer", (name) =>
    question.part(name, (part) => ({
      mediaType: part.text("mediaType"),
      annotations: Object.fromEntries(part.named("annotations", (part, name) => part.text(name))),
      content: part.bytes("content"),
    })),
  )
  if ((bundle === undefined) === (layer === undefined))
    question.refuse("bundle", "there is either a bundle or a layer")
  return { subject, ...(bundle && { bundle }), ...(layer && { layer }) }
}

/** A place where all of `pieces` are found beside their subjects, as in a registry. */
export async function placeWith(pieces: readonly Beside[]): Promise<EvidenceSource> {
  const store = new MemoryStore()
  const layers = new Map<string, object[]>()
  for (const { subject, bundle, layer } of pieces) {
    // Of which type a bundle is, it says itself; what is said around it is a hint that saves fetching it.
    const target = { mediaType: OCI_MANIFEST, digest: subject, size: 0 }
    if (bundle) await attachBundle(store, target, { bundle, predicateType: "" }, {})
    if (!layer) continue
    const { mediaType, annotations, content } = layer
    const tag = legacyTag(subject, mediaType === ENVELOPE ? "attestation" : "signature")
    const one = { ...(await pushed(store, mediaType, content, {})), annotations }
    layers.set(tag, [...(layers.get(tag) ?? []), one])
  }
  for (const [tag, list] of layers) {
    const manifest = { schemaVersion: 2, mediaType: OCI_MANIFEST, layers: list }
    await store.tag(await pushed(store, OCI_MANIFEST, Buffer.from(JSON.stringify(manifest)), {}), tag)
  }
  return evidenceIn(store)
}

/** What is asked of one piece of evidence. */
interface EvidenceAsked extends Beside {
  /** Of an attestation. */
  readonly predicateType?: string
  /** SPKI, PEM. */
  readonly keys: readonly string[]
  /** What it is asked about by, where that is a name with a host. */
  readonly reference?: string
}

/**
 * Verifies one piece of evidence as `ovm verify` does (spec/signing.md, "Verifying"). Throws what it is refused with,
 * OVM_KEY_INVALID for a key that is none, OVM_REFERENCE_INVALID, and OVM_USAGE for a question that is none.
 */
export async function judgeEvidence(file: string): Promise<{ faults: readonly []; found: object }> {
  const asked = await AskedJson.read(file, askedOf)
  const { signatory, signedReference, predicate } = await verdictOn(file, asked)
  return {
    faults: [],
    found: {
      ...(signatory?.kind === "key" && { keyId: signatory.keyId }),
      ...(signedReference !== undefined && { reference: signedReference }),
      ...(predicate !== undefined && { predicate }),
    },
  }
}

function askedOf(question: AskedJson): EvidenceAsked {
  const text = (name: string) => question.text(name)
  const predicateType = question.optional("predicateType", text)
  const reference = question.optional("reference", text)
  return {
    ...besideIn(question),
    keys: question.texts("keys"),
    ...(predicateType !== undefined && { predicateType }),
    ...(reference !== undefined && { reference }),
  }
}

async function verdictOn(file: string, asked: EvidenceAsked): Promise<Verdict> {
  const { subject, predicateType, keys, reference } = asked
  const authorities = keys.map((publicKey, at) => ({ kind: "key", name: `/keys/${at}`, publicKey }) as const)
  const options = { authorities, ...(predicateType !== undefined && { predicateType }) }
  const name = reference === undefined ? undefined : parseReference(reference)
  for await (const found of verdicts(await placeWith([asked]), subject, options)) {
    const verdict = heldAgainst(found, name?.host === undefined ? undefined : name.toString())
    const { status, code = "OVM_SIGNATURE_KEY_UNKNOWN", reason = "it is by nobody who is named" } = verdict
    if (status === "valid") return verdict
    throw new OvmError(code, `${file}: ${reason}`, { detail: { status } })
  }
  throw new OvmError(
    predicateType === undefined ? "OVM_SIGNATURE_MISSING" : "OVM_ATTESTATION_MISSING",
    `${file}: there is nothing in it of the type that is asked for`,
  )
}
