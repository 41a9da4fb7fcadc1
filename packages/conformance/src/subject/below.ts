import { readdir } from "node:fs/promises"
import { join } from "node:path"

/** The paths of all that is in a folder, from there; what goes meanwhile is left out. */
export async function pathsBelow(folder: string, under = ""): Promise<string[]> {
  const entries = await readdir(join(folder, under), { withFileTypes: true }).catch(() => [])
  const paths = entries.map(async (entry) => {
    const path = join(under, entry.name)
    return entry.isDirectory() ? [path, ...(await pathsBelow(folder, path))] : [path]
  })
  return (await Promise.all(paths)).flat()
}
