/**
 * Bytes that are written to a file in one call. Less costs several times as much per byte, in calls and in the page
 * cache; and so does 1 MiB, on ext4 with large folios: 1 GiB took 1.1 s, and 0.2 s in these.
 */
export const BATCH = 512 * 1024

/** Chunks that are written in one call; `size` is what they have together, in bytes. */
export interface Batch {
  readonly chunks: readonly Uint8Array[]
  readonly size: number
}

/**
 * `content` in batches, the last of which may be smaller. None of its chunks may change before the next batch is asked
 * for.
 */
export async function* batches(content: AsyncIterable<Uint8Array>): AsyncIterable<Batch> {
  let chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of content) {
    chunks.push(chunk)
    size += chunk.byteLength
    if (size < BATCH) continue
    yield { chunks, size }
    chunks = []
    size = 0
  }
  if (size > 0) yield { chunks, size }
}
