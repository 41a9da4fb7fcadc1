import type { Descriptor } from "../content/descriptor.ts"
import type { Call, Pusher } from "../content/interfaces.ts"
import { attachBundle, type Sealer } from "./bundle/write.ts"
import type { Signer } from "./interfaces.ts"
import { sealer } from "./sign.ts"
import { REFERENCE_ANNOTATION, refuseSignatureType, writeStatement } from "./statement.ts"

export interface Attestation extends Call {
  readonly predicateType: string
  readonly predicate: unknown
  /** As in SignOptions. */
  readonly reference?: string
}

/**
 * Says something about `subject` over a signature, and attaches it to it in `store`, as a bundle in a referrer. Returns
 * the descriptor of the referrer's manifest. Throws OVM_PREDICATE_MISMATCH for the type that is reserved for
 * signatures, OVM_KEY_INVALID, OVM_SIGNER_FAILED, and what the store throws.
 */
export async function attest(
  store: Pusher,
  subject: Descriptor,
  by: Signer | Sealer,
  { predicateType, predicate, reference, ...call }: Attestation,
): Promise<Descriptor> {
  refuseSignatureType(predicateType)
  const statement = writeStatement({
    subject: subject.digest,
    predicateType,
    predicate,
    ...(reference !== undefined && { name: reference, annotations: { [REFERENCE_ANNOTATION]: reference } }),
  })
  const bundle = await sealer(by).seal(statement, call)
  return attachBundle(store, subject, { bundle, predicateType }, call)
}
