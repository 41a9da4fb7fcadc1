import type { Descriptor } from "../content/descriptor.ts"
import type { Call, Pusher } from "../content/interfaces.ts"
import { attachBundle, type Sealer, sealBy } from "./bundle/write.ts"
import { SIGNATURE_PREDICATE, type Signer } from "./interfaces.ts"
import { REFERENCE_ANNOTATION, writeStatement } from "./statement.ts"

export interface SignOptions extends Call {
  /** The repository, perhaps with a tag, that the signature is for: inside what is signed (OVMS-SIG-022). */
  readonly reference?: string
  /** More that is signed with it; `cosign verify -a` asks for such. */
  readonly annotations?: Readonly<Record<string, string>>
}

/**
 * Signs `subject` and attaches the signature to it in `store`, as a bundle in a referrer. Returns the descriptor of the
 * referrer's manifest. Throws OVM_KEY_INVALID, OVM_SIGNER_FAILED, and what the store throws.
 */
export async function sign(
  store: Pusher,
  subject: Descriptor,
  by: Signer | Sealer,
  options: SignOptions = {},
): Promise<Descriptor> {
  const { reference, annotations, signal } = options
  const call = signal ? { signal } : {}
  const statement = writeStatement({
    subject: subject.digest,
    predicateType: SIGNATURE_PREDICATE,
    predicate: {},
    annotations: { ...annotations, ...(reference !== undefined && { [REFERENCE_ANNOTATION]: reference }) },
  })
  const bundle = await sealer(by).seal(statement, call)
  return attachBundle(store, subject, { bundle, predicateType: SIGNATURE_PREDICATE }, call)
}

export function sealer(by: Signer | Sealer): Sealer {
  return "seal" in by ? by : sealBy(by)
}
