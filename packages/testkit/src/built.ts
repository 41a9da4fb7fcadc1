import { createHash } from "node:crypto"
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from "node:fs"
import { join, resolve } from "node:path"

const CACHE = resolve(import.meta.dir, "../../../.cache/built")

/**
 * Path of the program that `build` makes of the files in `sources`, in the folder that it is given: made the first time
 * that it is asked for, and again when the files or the `flags` are others.
 */
export async function built(
  name: string,
  sources: string,
  flags: readonly string[],
  build: (folder: string) => Promise<void>,
): Promise<string> {
  const digest = createHash("sha256").update(flags.join(" "))
  for (const file of readdirSync(sources).sort())
    digest.update(file).update(readFileSync(join(sources, file)))
  const path = join(CACHE, `${name}-${digest.digest("hex").slice(0, 16)}`)
  if (existsSync(path)) return path

  // Another process may build at the same time: each in a folder of its own, and the file is renamed into place.
  const folder = join(CACHE, `${name}-${process.pid}-${crypto.randomUUID()}`)
  mkdirSync(folder, { recursive: true })
  try {
    await build(folder)
    renameSync(join(folder, name), path)
    return path
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
