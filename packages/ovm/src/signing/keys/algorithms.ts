import type { KeyObject } from "node:crypto"
import { OvmError } from "../../errors.ts"

/** The keys that are made here, with the hash that Cosign and this program take for each (OVMS-SIG-040). */
export const GENERATED = {
  p256: { curve: "prime256v1", hash: "sha256" },
  p384: { curve: "secp384r1", hash: "sha384" },
  p521: { curve: "secp521r1", hash: "sha512" },
  ed25519: { curve: undefined, hash: undefined },
} as const

/** The keys that sign: those, and RSA as others have it, by PKCS #1 v1.5. */
export const ALGORITHMS = { ...GENERATED, rsa: { curve: undefined, hash: "sha256" } } as const

export type Generated = keyof typeof GENERATED
export type Algorithm = keyof typeof ALGORITHMS

/** The sizes that Cosign takes, in bits: smaller ones are broken, and others are nobody's. */
const RSA_BITS: readonly unknown[] = [2048, 3072, 4096]

export function isGenerated(text: string): text is Generated {
  return Object.hasOwn(GENERATED, text)
}

/** Throws OVM_KEY_INVALID, naming `what`, for a key of any other kind. */
export function algorithmOf(key: KeyObject, what: string): Algorithm {
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key
  if (type === "ed25519") return "ed25519"
  if (type === "rsa" && RSA_BITS.includes(details?.modulusLength)) return "rsa"
  const curve = type === "ec" ? details?.namedCurve : undefined
  for (const name of ["p256", "p384", "p521"] as const)
    if (curve !== undefined && ALGORITHMS[name].curve === curve) return name
  const kind = type === "rsa" ? `RSA of ${details?.modulusLength} bits` : (curve ?? type)
  throw new OvmError(
    "OVM_KEY_INVALID",
    `${what} is a key of kind ${kind}; P-256, P-384, P-521, Ed25519 and RSA of 2048, 3072 or 4096 bits sign here`,
  )
}
