import type { Bytes, Incoming } from "../../content/interfaces.ts"
import { BATCH } from "../../files/batch.ts"

/** How far one answer has got. */
export interface Position {
  /** The next byte that is not written. */
  at: number
}

/**
 * Writes `content` to `into` from `position` on, which moves along with what is written. One batch is written while the
 * next one comes. What came before an error is written too. `moved` is told of each batch.
 */
export async function pour(
  content: Bytes,
  into: Incoming,
  position: Position,
  moved: (bytes: number) => void,
): Promise<void> {
  let batch: Uint8Array[] = []
  let size = 0
  let writing: Promise<void> = Promise.resolve()
  const write = async (chunks: readonly Uint8Array[], bytes: number) => {
    await into.writeAt(chunks, position.at)
    position.at += bytes
    moved(bytes)
  }
  const flush = async () => {
    await writing
    const [chunks, bytes] = [batch, size]
    batch = []
    size = 0
    writing = write(chunks, bytes)
    // It is awaited later, and must not count as unhandled until then.
    writing.catch(() => {})
  }
  try {
    for await (const chunk of content) {
      batch.push(chunk)
      size += chunk.byteLength
      if (size >= BATCH) await flush()
    }
  } finally {
    if (size > 0) await flush()
    await writing
  }
}
