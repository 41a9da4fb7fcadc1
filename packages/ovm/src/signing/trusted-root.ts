import { TrustedRoot } from "@sigstore/protobuf-specs"
import { type KeyFinderFunc, type TrustMaterial, toTrustMaterial } from "@sigstore/verify"
import { OvmError } from "../errors.ts"

/** Who vouches in a Sigstore trusted root (JSON). Throws OVM_KEY_INVALID, naming `what`. */
export function trustMaterial(json: string, what: string, keys?: KeyFinderFunc): TrustMaterial {
  try {
    return toTrustMaterial(TrustedRoot.fromJSON(JSON.parse(json)), keys)
  } catch (cause) {
    throw new OvmError("OVM_KEY_INVALID", `${what}: the trusted root cannot be understood`, {
      cause,
      hint: "cosign trusted-root create writes one",
    })
  }
}
