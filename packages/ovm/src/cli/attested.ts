import type { Descriptor } from "../content/descriptor.ts"
import type { Digest } from "../content/digest.ts"
import type { Call } from "../content/interfaces.ts"
import { OvmError } from "../errors.ts"
import { attest } from "../signing/attest.ts"
import type { Sealer } from "../signing/bundle/write.ts"
import type { Signer } from "../signing/interfaces.ts"
import { attestLegacy } from "../signing/legacy/sign.ts"
import type { RegistryOptions } from "./registry.ts"
import { openWritable, signedFor } from "./subject.ts"

export interface AttestedOptions extends RegistryOptions, Call {
  readonly predicateType: string
  readonly predicate: unknown
  /** The repository, perhaps with a tag, that it is for; the image's own unless told. */
  readonly reference?: string
  /** In Cosign's older form. */
  readonly legacy?: boolean
  /** What the image has to be for the statement to be about it. */
  readonly expected?: Digest
}

export interface Attested {
  readonly name: string
  readonly target: Descriptor
  /** Of the OCI manifest that the attestation is in. */
  readonly manifest: Descriptor
}

/** Says something about `image` over a signature, where that is. Throws OVM_DIGEST_MISMATCH, and what attesting throws. */
export async function attested(
  image: string,
  by: Signer | Sealer,
  options: AttestedOptions,
): Promise<Attested> {
  const { predicateType, predicate, expected, signal } = options
  const call = signal ? { signal } : {}
  await using subject = await openWritable(image, options)
  const { name, target } = subject
  if (expected !== undefined && target.digest !== expected)
    throw new OvmError("OVM_DIGEST_MISMATCH", `${name} is ${target.digest} there, not ${expected}`, {
      hint: "push the image first, or name the copy on this host: store:NAME",
    })
  const reference = signedFor(subject, options.reference)
  const attestation = { ...call, predicateType, predicate, ...(reference !== undefined && { reference }) }
  if (options.legacy) {
    if ("seal" in by) throw new OvmError("OVM_USAGE", "--legacy is for attestations by a key")
    return { name, target, manifest: await attestLegacy(subject, target, by, attestation) }
  }
  const manifest = await attest(subject.store, target, by, attestation)
  await subject.added(manifest)
  return { name, target, manifest }
}
