import { fstatSync, ftruncateSync } from "node:fs"
import type { FileHandle } from "node:fs/promises"
import { nextData, nextHole, punch } from "../host/libc.ts"
import { writeAll } from "./append.ts"
import type { Extent } from "./extents.ts"
import { writeNow } from "./writing.ts"
import { runsOf, ZEROS } from "./zeros.ts"

// Holes of files stay holes, and zeros become some, however content comes and goes (docs/design/0026-sparse-files.md).

/** An open file that has `size` bytes in the end, and may have anything there now. */
interface Growing {
  readonly fd: number
  readonly size: number
}

/** Writes `chunks` at byte `at` of the file: long runs of zeros become holes. */
export async function overwrite(file: Growing, chunks: readonly Uint8Array[], at: number): Promise<void> {
  let position = at
  for (const { hole, chunks: data, size } of runsOf(chunks)) {
    if (!(hole && clear(file, position, size))) await writeAll(file.fd, data, position)
    position += size
  }
}

/** Overwrites as `overwrite` does, but synchronously; `before` is told where data is about to be written. */
export function overwriteNow(
  file: Growing,
  bytes: Uint8Array,
  at: number,
  before: (extent: Extent) => void,
): void {
  let position = at
  for (const { hole, chunks, size } of runsOf([bytes])) {
    if (!(hole && clear(file, position, size))) {
      before({ start: position, end: position + size })
      for (const data of chunks) {
        writeNow(file.fd, data, position)
        position += data.byteLength
      }
    } else position += size
  }
}

/** Makes a hole; false where the file system cannot. */
function clear({ fd, size }: Growing, at: number, length: number): boolean {
  // No hole can be made beyond the end of the file: it gets its last length first, in one step, since others may write
  // to it at the same time.
  if (fstatSync(fd).size < size) ftruncateSync(fd, size)
  return punch(fd, at, length)
}

/**
 * The next data of the open file of `size` bytes, at or after byte `at`; empty, at its end, if there is only a hole.
 * Where the file system does not say, all is data.
 */
export function dataFrom(fd: number, at: number, size: number): Extent {
  const start = nextData(fd, at)
  const end = nextHole(fd, start < 0 ? at : start)
  if (end < 0) return { start: at, end: size }
  return start < 0 || start >= size ? { start: size, end: size } : { start, end: Math.min(end, size) }
}

/** Bytes that are read at once. */
const CHUNK = 256 * 1024

/** The bytes of an open regular file from `at` up to `end`, or its own end if that is before. Holes are not read. */
export async function* readSparse(
  handle: FileHandle,
  at: number,
  end: number,
  call: { readonly signal?: AbortSignal },
): AsyncIterable<Uint8Array> {
  const { size } = await handle.stat()
  let data: Extent = { start: at, end: at }
  for (let position = at; position < end; ) {
    call.signal?.throwIfAborted()
    if (position >= data.end && position < size) data = dataFrom(handle.fd, position, size)
    const length = Math.min(end - position, CHUNK)
    const hole = data.start - position >= length
    const chunk = hole ? ZEROS.subarray(0, length) : await readSome(handle, position, length)
    if (chunk.byteLength === 0) return
    yield chunk
    position += chunk.byteLength
  }
}

async function readSome(handle: FileHandle, at: number, length: number): Promise<Uint8Array> {
  const { bytesRead, buffer } = await handle.read(Buffer.allocUnsafe(length), 0, length, at)
  return buffer.subarray(0, bytesRead)
}
