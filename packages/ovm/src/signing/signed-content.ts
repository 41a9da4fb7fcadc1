import { createHash, type KeyObject, timingSafeEqual } from "node:crypto"
import type { SignedEntity } from "@sigstore/verify"
import type { Claim } from "./claim.ts"
import { publicKeyOf } from "./keys/public.ts"

const HASHES: Record<number, string> = { 32: "sha256", 48: "sha384", 64: "sha512" }

/** What was signed, as the verifier asks for it; the hash of the signature is the one that belongs to the key. */
export function signedContent({ message, payload, signature }: Claim): SignedEntity["signature"] {
  return {
    signature,
    compareSignature: (other) => equal(other, signature),
    compareDigest: (digest) => isDigestOf(digest, payload),
    compareSignedDigest: (digest) => isDigestOf(digest, message),
    verifySignature: (key: KeyObject) =>
      publicKeyOf(key, "the certificate's key").verifies(message, signature),
  }
}

function isDigestOf(digest: Buffer, content: Buffer): boolean {
  const hash = HASHES[digest.byteLength]
  return hash !== undefined && equal(digest, createHash(hash).update(content).digest())
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.byteLength === b.byteLength && timingSafeEqual(a, b)
}
