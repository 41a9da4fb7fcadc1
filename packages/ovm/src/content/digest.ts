/** `sha256:` and 64 lower-case hexadecimal digits; the only algorithm that OVMS takes (spec/oci-mapping.md). */
export type Digest = `sha256:${string}`

const PATTERN = /^sha256:[0-9a-f]{64}$/

export function isDigest(text: unknown): text is Digest {
  return typeof text === "string" && PATTERN.test(text)
}

/** A digest as it grows. */
export interface Sha256 {
  update(bytes: Uint8Array | string): void
  /** Once, after the last byte. */
  digest(): Digest
}

// Bun's hasher and not node:crypto, whose loading alone takes a short command as long as all the rest of it.
export function sha256(): Sha256 {
  const hasher = new Bun.CryptoHasher("sha256")
  return {
    update: (bytes) => {
      hasher.update(bytes)
    },
    digest: () => `sha256:${hasher.digest("hex")}`,
  }
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
