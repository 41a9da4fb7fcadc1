import { lstat } from "node:fs/promises"
import { join } from "node:path"
import { pathsBelow } from "./below.ts"

/** Bytes that a folder takes up on its disk. */
export async function usedIn(folder: string): Promise<number> {
  const names = await pathsBelow(folder)
  const sizes = names.map((name) =>
    lstat(join(folder, name)).then(
      ({ blocks }) => blocks * 512,
      () => 0,
    ),
  )
  return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0)
}
