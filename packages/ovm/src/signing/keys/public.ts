import { createHash, createPublicKey, type KeyObject, verify } from "node:crypto"
import { OvmError } from "../../errors.ts"
import { ALGORITHMS, type Algorithm, algorithmOf } from "./algorithms.ts"

export interface PublicKey {
  readonly algorithm: Algorithm
  /** `sha256:` and the digest of the SPKI in hexadecimal: what the key is called wherever one is reported. */
  readonly id: string
  /** The same digest as bundles have it, in base64. */
  readonly hint: string
  /** SPKI, PEM. */
  readonly pem: string
  /** True if `signature` (ASN.1 DER for ECDSA) is this key's, of `message` itself. */
  verifies(message: Uint8Array, signature: Uint8Array): boolean
}

/** A PEM block of a public key is shorter than this, in bytes. */
const PEM_LIMIT = 16 << 10

/** Reads an SPKI in PEM, as `cosign.pub` has it. Throws OVM_KEY_INVALID, naming `what`. */
export function parsePublicKey(pem: string, what: string): PublicKey {
  // createPublicKey would derive one from a private key as well, which does not belong where public keys are read.
  if (pem.length > PEM_LIMIT || !/^\s*-----BEGIN PUBLIC KEY-----\s/.test(pem))
    throw new OvmError("OVM_KEY_INVALID", `${what} is not a public key: it has no PEM block PUBLIC KEY`)
  try {
    return publicKeyOf(createPublicKey(pem), what)
  } catch (cause) {
    if (cause instanceof OvmError) throw cause
    throw new OvmError("OVM_KEY_INVALID", `${what} is not a public key: its PEM block cannot be read`, {
      cause,
    })
  }
}

/** The same for a key that was parsed already. Throws OVM_KEY_INVALID, naming `what`, for a kind that does not sign here. */
export function publicKeyOf(key: KeyObject, what: string): PublicKey {
  const algorithm = algorithmOf(key, what)
  const digest = createHash("sha256")
    .update(key.export({ type: "spki", format: "der" }))
    .digest()
  return {
    algorithm,
    id: `sha256:${digest.toString("hex")}`,
    hint: digest.toString("base64"),
    pem: key.export({ type: "spki", format: "pem" }).toString(),
    verifies: (message, signature) => verifies(key, ALGORITHMS[algorithm].hash, message, signature),
  }
}

function verifies(key: KeyObject, hash: string | undefined, message: Uint8Array, signature: Uint8Array) {
  try {
    return verify(hash ?? null, message, key, signature)
  } catch {
    // What is no signature at all is thrown for by some versions of the runtime.
    return false
  }
}
