import { fstatSync, ftruncateSync, writev } from "node:fs"
import { runsOf } from "./zeros.ts"

/**
 * Writes `chunks` at byte `at`, where the open file ends. It ends behind them afterwards; long runs of zeros are holes.
 */
export async function append(fd: number, chunks: readonly Uint8Array[], at: number): Promise<void> {
  const end = await writeData(fd, chunks, at)
  if (fstatSync(fd).size < end) ftruncateSync(fd, end)
}

/** Writes what of `chunks` is no long run of zeros, beginning at byte `at`, and says where they end. */
export async function writeData(fd: number, chunks: readonly Uint8Array[], at: number): Promise<number> {
  let position = at
  for (const run of runsOf(chunks)) {
    if (!run.hole) await writeAll(fd, run.chunks, position)
    position += run.size
  }
  return position
}

/**
 * Writes all of `chunks` at byte `at`, by the thread pool: the event loop goes on while the kernel waits for the disk.
 */
export async function writeAll(fd: number, chunks: readonly Uint8Array[], at: number): Promise<void> {
  let left = chunks.filter((chunk) => chunk.byteLength > 0)
  for (let position = at; left.length > 0; ) {
    const count = await writeSome(fd, left, position)
    position += count
    left = without(left, count)
  }
}

function writeSome(fd: number, chunks: readonly Uint8Array[], at: number): Promise<number> {
  return new Promise((resolve, reject) =>
    writev(fd, chunks, at, (error, count) => (error ? reject(error) : resolve(count))),
  )
}

function without(chunks: readonly Uint8Array[], count: number): Uint8Array[] {
  const rest: Uint8Array[] = []
  let skip = count
  for (const chunk of chunks) {
    if (skip < chunk.byteLength) rest.push(chunk.subarray(skip))
    skip = Math.max(0, skip - chunk.byteLength)
  }
  return rest
}
