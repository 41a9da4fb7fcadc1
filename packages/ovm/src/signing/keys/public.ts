import { createHash, createPublicKey, type KeyObject, verify } from "node:crypto"
import { OvmError } from "../../errors.ts"
import { ALGORITHMS, type Algorithm, algorithmOf } from "./algorithms.ts"
import { labelsOf, pemBlocks } from "./pem.ts"

export interface PublicKey {
  readonly algorithm: Algorithm
  /** `sha256:` and the digest of the SPKI in hexadecimal: what the key is called wherever one is reported. */
  readonly id: string
  /** The digest of `id` in base64, as bundles have it. */
  readonly hint: string
  /** SPKI, PEM. */
  readonly pem: string
  /** True if `signature` (ASN.1 DER for ECDSA) is this key's, of `message` itself. */
  verifies(message: Uint8Array, signature: Uint8Array): boolean
}

/** A PEM block of a public key is shorter than this, in bytes. */
const PEM_LIMIT = 16 << 10

/**
 * Reads the first public key in PEM: SPKI, as `cosign.pub` has it, or PKCS#1 for RSA, whatever stands around it
 * (OVMS-SIG-044, OVMS-SIG-060). Throws OVM_KEY_INVALID, naming `what`.
 */
export function parsePublicKey(pem: string, what: string): PublicKey {
  const refuse = (reason: string, cause?: unknown) =>
    new OvmError("OVM_KEY_INVALID", `${what} is not a public key: ${reason}`, { cause })
  if (pem.length > PEM_LIMIT) throw refuse(`it is above ${PEM_LIMIT} bytes`)
  const blocks = pemBlocks(pem)
  // createPublicKey would derive one from a private key as well, which does not belong where public keys are read.
  if (blocks.some(({ label }) => label.endsWith("PRIVATE KEY"))) throw refuse("it has a private key in it")
  const block = blocks.find(({ label }) => label === "PUBLIC KEY" || label === "RSA PUBLIC KEY")
  if (!block) throw refuse(`it has no PEM block PUBLIC KEY: ${labelsOf(blocks)}`)
  try {
    return publicKeyOf(createPublicKey(block.text), what)
  } catch (cause) {
    if (cause instanceof OvmError) throw cause
    throw refuse("its PEM block cannot be read", cause)
  }
}

/**
 * The public key of one that was parsed already. Throws OVM_KEY_INVALID, naming `what`, for a kind that does not sign
 * here.
 */
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
