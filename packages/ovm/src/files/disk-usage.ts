import { readdir, stat } from "node:fs/promises"
import { join } from "node:path"

/** The unit of st_blocks (stat(2)). */
const BLOCK = 512

/**
 * What all files below `directory` take of the disk, in bytes, each counted once that is there under several names; 0
 * if there is no such directory.
 */
export async function diskUsage(directory: string): Promise<number> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true }).catch(() => [])
  const files = entries.filter((entry) => entry.isFile())
  const found = await Promise.all(
    files.map((entry) => stat(join(entry.parentPath, entry.name)).catch(() => undefined)),
  )
  const sizes = new Map(found.map((file) => [file && `${file.dev}:${file.ino}`, (file?.blocks ?? 0) * BLOCK]))
  return sizes.values().reduce((sum, size) => sum + size, 0)
}

/** What a file takes of the disk, in bytes: it may be sparse. 0 if another process has removed it meanwhile. */
export async function bytesOnDisk(path: string): Promise<number> {
  return stat(path).then(
    ({ blocks }) => blocks * BLOCK,
    () => 0,
  )
}
