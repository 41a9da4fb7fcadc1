import { X509Certificate } from "node:crypto"
import { OvmError } from "../errors.ts"
import { malformedSignature } from "./json.ts"
import { type PublicKey, publicKeyOf } from "./keys/public.ts"

/** The key in a certificate (DER). Throws OVM_SIGNATURE_MALFORMED. */
export function certificateKey(der: Uint8Array): PublicKey {
  try {
    return publicKeyOf(new X509Certificate(der).publicKey, "the certificate's key")
  } catch (cause) {
    if (cause instanceof OvmError) throw malformedSignature(cause.message, cause)
    throw malformedSignature("the certificate cannot be read", cause)
  }
}
