import { createHash } from "node:crypto"
import type { Digest } from "../content/digest.ts"
import { zeroChunk } from "./chunk.ts"

export function sha256Of(bytes: Uint8Array): Uint8Array {
  return createHash("sha256").update(bytes).digest()
}

export const ZERO_DIGEST = sha256Of(zeroChunk)

/** The memory digest: the SHA-256 of the SHA-256 digests of all chunks (OVMS-SNP-023). */
export class MemoryDigest {
  readonly #hash = createHash("sha256")

  /** The digest of the next chunk, or of several, one after another. */
  add(digests: Uint8Array): void {
    this.#hash.update(digests)
  }

  addZeros(chunks: number): void {
    for (let i = 0; i < chunks; i++) this.#hash.update(ZERO_DIGEST)
  }

  digest(): Digest {
    return `sha256:${this.#hash.digest("hex")}`
  }
}
