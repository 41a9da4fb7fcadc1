import { dataFrom } from "../files/sparse.ts"
import { CHUNK } from "./format.ts"

/** A run of chunks, and whether they are a hole of the file: then they were never read. */
export interface ChunkRun {
  readonly first: number
  readonly count: number
  readonly hole: boolean
}

/** The chunks of the open sparse file `fd` of `size` bytes, in order, in runs of at most `most` that are not holes. */
export function* chunkRuns(fd: number, size: number, most: number): Generator<ChunkRun> {
  const chunks = size / CHUNK
  for (let first = 0; first < chunks; ) {
    const data = chunksFrom(fd, first, size)
    if (data.start > first) yield { first, count: data.start - first, hole: true }
    for (first = data.start; first < data.end; first += most)
      yield { first, count: Math.min(most, data.end - first), hole: false }
    first = data.end
  }
}

/** The chunks that the next data of the file touches. */
function chunksFrom(fd: number, first: number, size: number): { start: number; end: number } {
  const { start, end } = dataFrom(fd, first * CHUNK, size)
  return { start: Math.max(first, Math.floor(start / CHUNK)), end: Math.ceil(end / CHUNK) }
}
