import { sha256 } from "./sha256.ts"

/** `sha256:` and 64 lower-case hexadecimal digits; the only algorithm that OVMS takes (spec/oci-mapping.md). */
export type Digest = `sha256:${string}`

const PATTERN = /^sha256:[0-9a-f]{64}$/

export function isDigest(text: unknown): text is Digest {
  return typeof text === "string" && PATTERN.test(text)
}

export function digestOf(bytes: Uint8Array | string): Digest {
  const hash = sha256()
  hash.update(bytes)
  return hash.digest()
}

/** The hexadecimal part: a blob's file name in a layout. */
export function hexOf(digest: Digest): string {
  return digest.slice("sha256:".length)
}
