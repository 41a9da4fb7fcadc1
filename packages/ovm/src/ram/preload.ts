import { open } from "node:fs/promises"
import { guarded } from "../files/guarded.ts"
import { readAhead } from "../host/libc.ts"
import { chunkRuns } from "./extents.ts"
import { CHUNK } from "./format.ts"

/** Bytes that the kernel takes at once for any disk: of more it leaves away what is above the disk's own bound. */
const AT_ONCE = 128 << 10

/**
 * Has the kernel read the sparse RAM file `path` into memory (OVMS-SNP-100), which it does while a VMM starts. Holes
 * cost nothing. Throws OVM_FILE_UNREADABLE, OVM_PERMISSION_DENIED.
 */
export function preloadRam(path: string): Promise<void> {
  return guarded(async () => {
    await using file = await open(path, "r")
    const { size } = await file.stat()
    for (const { first, count, hole } of chunkRuns(file.fd, size, 1))
      for (let at = 0; !hole && at < count * CHUNK; at += AT_ONCE)
        readAhead(file.fd, first * CHUNK + at, AT_ONCE)
  })
}
