import { ftruncateSync } from "node:fs"
import { writeData } from "../files/append.ts"
import { batches } from "../files/batch.ts"
import { writing } from "../files/writing.ts"
import { writeBehind } from "../host/libc.ts"
import { type Digest, sha256 } from "./digest.ts"
import type { Bytes } from "./interfaces.ts"

/** So much is handed to the disk at a time, in bytes. */
const BEHIND = 4 * 1024 * 1024

export interface HashedFilling {
  /** The disk is to take what is there while more is written: whoever syncs the file then waits for little. */
  readonly behind: boolean
  /**
   * Batches that are on their way into the file at a time, 1 unless given: with more, nothing that `content` gave may
   * change before so many more were asked for.
   */
  readonly atOnce?: number
  /** Told how many bytes are there. */
  onBytes?(done: number): void
}

/**
 * Fills the open file, which is empty, with what comes, whatever it is, and says what was written. Each piece is hashed
 * while it is written. Throws what `content` throws, and the system's errors with the path.
 */
export async function fillHashed(
  { path, fd }: { readonly path: string; readonly fd: number },
  content: Bytes,
  { behind, atOnce = 1, onBytes }: HashedFilling,
): Promise<{ digest: Digest; size: number }> {
  const hash = sha256()
  const under: Promise<unknown>[] = []
  let at = 0
  let left = 0
  try {
    for await (const { chunks, size } of batches(content)) {
      under.push(writing(path, () => writeData(fd, chunks, at)))
      under.at(-1)?.catch(() => {})
      for (const chunk of chunks) hash.update(chunk)
      at += size
      if (under.length < atOnce) continue
      await under.shift()
      for (; behind && at - left > 2 * BEHIND; left += BEHIND) writeBehind(fd, left, BEHIND)
      onBytes?.(at)
    }
    await Promise.all(under)
  } finally {
    // Whoever closes the file may do so.
    await Promise.allSettled(under)
  }
  // Zeros at its end are a hole that nothing was written to.
  await writing(path, () => ftruncateSync(fd, at))
  onBytes?.(at)
  return { digest: hash.digest(), size: at }
}
