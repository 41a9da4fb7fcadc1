import type { Descriptor } from "../content/descriptor.ts"
import type { Digest } from "../content/digest.ts"
import { OvmError } from "../errors.ts"
import { type Attestation, attest } from "./attest.ts"
import type { Sealer } from "./bundle/write.ts"
import type { Signer } from "./interfaces.ts"
import { attestLegacy, type LegacyPlace } from "./legacy/sign.ts"

/** An artifact, and the store that what is said of it goes to. */
export interface Attachable extends LegacyPlace {
  /** For messages. */
  readonly name: string
  readonly target: Descriptor
  /** To be called for each referrer that was added: layouts list them, for tools that look for them there. */
  added(referrer: Descriptor): Promise<void>
}

export interface AttachOptions extends Attestation {
  /** In Cosign's older form, which is for keys only. */
  readonly legacy?: boolean
  /** What the artifact has to be for the statement to be about it. */
  readonly expected?: Digest
}

/**
 * Says something about `at` over a signature, where it is. Returns the descriptor of the OCI manifest that the
 * attestation is in. Throws OVM_DIGEST_MISMATCH if it is not what was expected, OVM_USAGE for the older form by what
 * is no key, and what `attest` and `attestLegacy` throw.
 */
export async function attach(
  at: Attachable,
  by: Signer | Sealer,
  { legacy, expected, ...attestation }: AttachOptions,
): Promise<Descriptor> {
  const { name, target, store } = at
  if (expected !== undefined && target.digest !== expected)
    throw new OvmError("OVM_DIGEST_MISMATCH", `${name} is ${target.digest} there, not ${expected}`, {
      hint: "push the image first, or name the copy on this host: store:NAME",
    })
  if (legacy) {
    if ("seal" in by) throw new OvmError("OVM_USAGE", "--legacy is for attestations by a key")
    return await attestLegacy(at, target, by, attestation)
  }
  const manifest = await attest(store, target, by, attestation)
  await at.added(manifest)
  return manifest
}
