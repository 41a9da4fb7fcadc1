import { type Digest, sha256 } from "../../content/digest.ts"
import type { Bytes } from "../../content/interfaces.ts"
import { digestMismatch } from "../../content/verify.ts"
import { inflated } from "../inflated.ts"

/** A layer as it comes, and what it is to be. */
export interface PackedLayer {
  readonly content: Bytes
  readonly diffId: Digest
  readonly what: string
  /** Told of so many more bytes before they are given out. Throws where there are too many. */
  grows(bytes: number): void
}

/**
 * The tar archive that a layer is, told by its bytes: compressed by gzip or zstd, or not at all. Throws, at its end,
 * OVM_DIGEST_MISMATCH where it is another one; OVM_ARTIFACT_INVALID for damage, and what `content` throws.
 */
export async function* unpackedLayer({ content, diffId, what, grows }: PackedLayer): Bytes {
  const hash = sha256()
  let size = 0
  for await (const chunk of await inflated(content, what)) {
    grows(chunk.byteLength)
    hash.update(chunk)
    size += chunk.byteLength
    yield chunk
  }
  const found = hash.digest()
  if (found !== diffId) throw digestMismatch({ digest: diffId, size }, found, what)
}
