import { BATCH } from "./batch.ts"

/**
 * So many zeros in a row, in bytes, become a hole of a file that is written: fewer would cut it into pieces, and save
 * little.
 */
export const LEAST_HOLE = 64 * 1024

const zeros = Buffer.alloc(BATCH)

/** Zeros, as they are read of a hole. Not to be written to. */
export const ZEROS: Uint8Array = zeros

/**
 * Whether the bytes of `bytes` from `from` up to `to`, a batch at most, are all zero. Three looks tell that of most
 * that are not; a loop over the rest would cost more than the hash, and memcmp does not.
 */
export function isZero(bytes: Uint8Array, from = 0, to = bytes.byteLength): boolean {
  if (bytes[from] || bytes[to - 1] || bytes[(from + to) >> 1]) return false
  return bytes.buffer === zeros.buffer || zeros.compare(bytes, from, to, 0, to - from) === 0
}

/** Bytes in order that are all zero, or that are not. */
export interface ByteRun {
  readonly hole: boolean
  readonly chunks: readonly Uint8Array[]
  readonly size: number
}

/** `chunks`, cut into runs of zeros, none below LEAST_HOLE, and of the rest. */
export function runsOf(chunks: readonly Uint8Array[]): ByteRun[] {
  const found = joined(chunks.flatMap((chunk) => [...pieces(chunk)]))
  return joined(found.map((run) => ({ ...run, hole: run.hole && run.size >= LEAST_HOLE })))
}

function* pieces(chunk: Uint8Array): Generator<ByteRun> {
  for (let from = 0; from < chunk.byteLength; ) {
    const hole = isZero(chunk, from, Math.min(from + LEAST_HOLE, chunk.byteLength))
    let to = from
    do to = Math.min(to + LEAST_HOLE, chunk.byteLength)
    while (to < chunk.byteLength && isZero(chunk, to, Math.min(to + LEAST_HOLE, chunk.byteLength)) === hole)
    const piece = to - from === chunk.byteLength ? chunk : chunk.subarray(from, to)
    yield { hole, chunks: [piece], size: to - from }
    from = to
  }
}

function joined(runs: readonly ByteRun[]): ByteRun[] {
  const all: ByteRun[] = []
  for (const run of runs) {
    const last = all.at(-1)
    if (last?.hole !== run.hole) all.push(run)
    else
      all[all.length - 1] = {
        ...last,
        chunks: [...last.chunks, ...run.chunks],
        size: last.size + run.size,
      }
  }
  return all
}
