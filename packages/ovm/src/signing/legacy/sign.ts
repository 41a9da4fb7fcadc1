import type { Descriptor } from "../../content/descriptor.ts"
import type { Store } from "../../content/interfaces.ts"
import { fetchAll } from "../../content/read.ts"
import type { Attestation } from "../attest.ts"
import { ENVELOPE, envelopeJson, INTOTO, preAuthEncoding } from "../envelope.ts"
import type { Signer } from "../interfaces.ts"
import { parsePublicKey } from "../keys/public.ts"
import { SIGNATURE_LIMIT } from "../limits.ts"
import type { SignOptions } from "../sign.ts"
import { refuseSignatureType, writeStatement } from "../statement.ts"
import { SIMPLE_SIGNING, writePayload } from "./payload.ts"
import { legacyTag, PREDICATE_ANNOTATION, SIGNATURE_ANNOTATION } from "./tags.ts"
import { addLayer, type LegacyTag } from "./write.ts"

export interface LegacySignOptions extends SignOptions {
  /** Not left out: the payload names a reference. */
  readonly reference: string
}

/** Where the older form keeps what belongs to a subject. */
export interface LegacyPlace {
  readonly store: Store
  /** Put before a tag, it makes a name of `store` (evidenceIn). */
  readonly prefix: string
  /** HOST/REPOSITORY, or the path of a layout: for messages, and for writers to wait for each other. */
  readonly place: string
}

/**
 * Signs `subject` in Cosign's older form, under the tag `sha256-….sig`: for verifiers that know no bundles. A second
 * signature by the same key is not added. Throws as `sign` does, and OVM_SIGNATURE_MALFORMED if the tag means something
 * else.
 */
export async function signLegacy(
  at: LegacyPlace,
  subject: Descriptor,
  signer: Signer,
  { reference, annotations = {}, ...call }: LegacySignOptions,
): Promise<Descriptor> {
  const payload = writePayload(subject.digest, reference, annotations)
  const key = parsePublicKey(await signer.publicKey(call), "the signer's key")
  const signature = Buffer.from(await signer.sign(payload, call)).toString("base64")
  const tag = legacyTag(subject.digest, "signature")
  const layer = {
    mediaType: SIMPLE_SIGNING,
    bytes: payload,
    annotations: { [SIGNATURE_ANNOTATION]: signature },
    same: async (other: Descriptor) => {
      const theirs = Buffer.from(other.annotations?.[SIGNATURE_ANNOTATION] ?? "", "base64")
      if (other.size !== payload.byteLength) return false
      const bytes = await fetchAll(at.store, other, SIGNATURE_LIMIT, call)
      return payload.equals(bytes) && key.verifies(payload, theirs)
    },
  }
  return addLayer(tagAt(at, tag), layer, call)
}

/**
 * Attests in Cosign's older form, under the tag `sha256-….att`. Each attestation is added, also one like another.
 * Throws OVM_KEY_INVALID, OVM_SIGNER_FAILED, OVM_SIGNATURE_MALFORMED if the tag means something else, and what the
 * store throws.
 */
export async function attestLegacy(
  at: LegacyPlace,
  subject: Descriptor,
  signer: Signer,
  { predicateType, predicate, reference, ...call }: Attestation,
): Promise<Descriptor> {
  refuseSignatureType(predicateType)
  const payload = writeStatement({
    subject: subject.digest,
    predicateType,
    predicate,
    ...(reference !== undefined && { name: reference }),
  })
  const signature = Buffer.from(await signer.sign(preAuthEncoding(INTOTO, payload), call))
  const tag = legacyTag(subject.digest, "attestation")
  const layer = {
    mediaType: ENVELOPE,
    bytes: Buffer.from(JSON.stringify(envelopeJson({ payloadType: INTOTO, payload, signature }))),
    annotations: { [SIGNATURE_ANNOTATION]: "", [PREDICATE_ANNOTATION]: predicateType },
    same: async () => false,
  }
  return addLayer(tagAt(at, tag), layer, call)
}

function tagAt({ store, prefix, place }: LegacyPlace, tag: string): LegacyTag {
  return { store, name: `${prefix}${tag}`, place: `${place}:${tag}` }
}
