import { open } from "node:fs/promises"
import { guarded } from "../files/guarded.ts"
import { readAhead } from "../host/libc.ts"
import { chunkRuns } from "./extents.ts"
import { CHUNK } from "./format.ts"

/** As much as the kernel takes at once. */
const MOST = 8

/**
 * Has the kernel read the sparse RAM file `path` into memory (OVMS-SNP-100), which it does while a VMM starts. Holes
 * cost nothing. Throws OVM_FILE_UNREADABLE, OVM_PERMISSION_DENIED.
 */
export function preloadRam(path: string): Promise<void> {
  return guarded(async () => {
    await using file = await open(path, "r")
    const { size } = await file.stat()
    for (const { first, count, hole } of chunkRuns(file.fd, size, MOST))
      if (!hole) readAhead(file.fd, first * CHUNK, count * CHUNK)
  })
}
