import { type FileHandle, open } from "node:fs/promises"
import { guarded } from "../files/guarded.ts"
import { dataFrom } from "../files/sparse.ts"

// What qemu-img writes unless told otherwise: clusters of 64 KiB, and refcounts of 16 bits.
const CLUSTER = 2 ** 16
const PER_TABLE = CLUSTER / 8
const PER_COUNTS = CLUSTER / 2

/** Of a raw disk's file. Bytes. */
export interface Sparseness {
  readonly size: number
  /** That are not in a hole. */
  readonly data: number
  /** That a qcow2 of the same content would have, about: its clusters, and the tables that lead to them. */
  readonly qcow2: number
}

/**
 * How much of the raw disk in the file `path` is data, by its holes. Throws OVM_FILE_UNREADABLE, OVM_PERMISSION_DENIED.
 */
export function sparsenessOf(path: string): Promise<Sparseness> {
  return guarded(async () => {
    await using file: FileHandle = await open(path, "r")
    const { size } = await file.stat()
    let data = 0
    let clusters = 0
    const tables = new Set<number>()
    // The first cluster that is not counted yet: several extents may lie in one.
    let next = 0
    for (let at = 0; at < size; ) {
      const { start, end } = dataFrom(file.fd, at, size)
      data += end - start
      const first = Math.max(next, Math.floor(start / CLUSTER))
      next = Math.max(next, Math.ceil(end / CLUSTER))
      clusters += next - first
      for (let table = Math.floor(first / PER_TABLE); table * PER_TABLE < next; table++)
        if (next > first) tables.add(table)
      at = end
    }
    const used = clusters + tables.size + Math.ceil(size / (CLUSTER * PER_TABLE * PER_TABLE)) + 2
    return { size, data, qcow2: (used + Math.ceil(used / PER_COUNTS)) * CLUSTER }
  })
}
