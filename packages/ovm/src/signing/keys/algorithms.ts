import type { KeyObject } from "node:crypto"
import { OvmError } from "../../errors.ts"

/** The keys that sign, with the hash that Cosign and this program take for each (OVMS-SIG-040). */
export const ALGORITHMS = {
  p256: { curve: "prime256v1", hash: "sha256" },
  p384: { curve: "secp384r1", hash: "sha384" },
  p521: { curve: "secp521r1", hash: "sha512" },
  ed25519: { curve: undefined, hash: undefined },
} as const

export type Algorithm = keyof typeof ALGORITHMS

export function isAlgorithm(text: string): text is Algorithm {
  return Object.hasOwn(ALGORITHMS, text)
}

/** Throws OVM_KEY_INVALID, naming `what`, for a key of any other kind. */
export function algorithmOf(key: KeyObject, what: string): Algorithm {
  if (key.asymmetricKeyType === "ed25519") return "ed25519"
  const curve = key.asymmetricKeyType === "ec" ? key.asymmetricKeyDetails?.namedCurve : undefined
  for (const name of ["p256", "p384", "p521"] as const)
    if (curve !== undefined && ALGORITHMS[name].curve === curve) return name
  throw new OvmError(
    "OVM_KEY_INVALID",
    `${what} is a key of kind ${curve ?? key.asymmetricKeyType}; P-256, P-384, P-521 and Ed25519 sign here`,
  )
}
