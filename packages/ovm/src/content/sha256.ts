import type { Digest } from "./digest.ts"

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
