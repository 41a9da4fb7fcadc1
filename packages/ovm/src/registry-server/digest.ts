import { Refusal } from "./refusal.ts"

/**
 * OVMS takes sha256 only; a registry also has to keep what other tools push, and the standard's conformance program
 * wants sha512 (image-spec: descriptor.md, "Registered Algorithms").
 */
export type BlobDigest = `sha256:${string}` | `sha512:${string}`

export type DigestAlgorithm = "sha256" | "sha512"

export const DIGEST_ALGORITHMS: readonly DigestAlgorithm[] = ["sha256", "sha512"]

const PATTERN = /^(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/

export function isBlobDigest(text: unknown): text is BlobDigest {
  return typeof text === "string" && PATTERN.test(text)
}

/** Throws 400 DIGEST_INVALID. */
export function blobDigest(text: string): BlobDigest {
  if (isBlobDigest(text)) return text
  throw new Refusal(
    400,
    "DIGEST_INVALID",
    `${JSON.stringify(text.slice(0, 140))} is not a sha256 or sha512 digest`,
  )
}

export function digestAlgorithmOf(digest: BlobDigest): DigestAlgorithm {
  return digest.startsWith("sha256:") ? "sha256" : "sha512"
}

export function encodedOf(digest: BlobDigest): string {
  return digest.slice("sha256:".length)
}
