import { readdir, stat } from "node:fs/promises"
import { join } from "node:path"

/** Sum of the sizes of all files below `directory`, in bytes; 0 if there is no such directory. */
export async function diskUsage(directory: string): Promise<number> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true }).catch(() => [])
  const sizes = entries
    .filter((entry) => entry.isFile())
    .map((entry) => sizeOf(join(entry.parentPath, entry.name)))
  return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0)
}

async function sizeOf(path: string): Promise<number> {
  // Another process may have removed it meanwhile.
  return stat(path).then(
    ({ size }) => size,
    () => 0,
  )
}
