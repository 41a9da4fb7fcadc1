import { createHash } from "node:crypto"
import { existsSync, linkSync, mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs"
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
  const path = placeOf(name, sources, flags)
  if (existsSync(path)) return path
  using folder = new Folder(name)
  await build(folder.path)
  place(join(folder.path, name), path)
  return path
}

/** The same by a `build` that waits for its compiler, and is told the file that it is to make. */
export function builtNow(
  name: string,
  sources: string,
  flags: readonly string[],
  build: (program: string) => void,
): string {
  const path = placeOf(name, sources, flags)
  if (existsSync(path)) return path
  using folder = new Folder(name)
  const program = join(folder.path, name)
  build(program)
  place(program, path)
  return path
}

/** The first one stays: whoever has it is just reading it. */
function place(program: string, path: string): void {
  try {
    linkSync(program, path)
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code !== "EEXIST") throw thrown
  }
}

function placeOf(name: string, sources: string, flags: readonly string[]): string {
  const digest = createHash("sha256").update(flags.join(" "))
  for (const file of readdirSync(sources).sort())
    digest.update(file).update(readFileSync(join(sources, file)))
  return join(CACHE, `${name}-${digest.digest("hex").slice(0, 16)}`)
}

/** Another process may build at the same time, each in a folder of its own: the file of the first one is linked. */
class Folder implements Disposable {
  readonly path: string

  constructor(name: string) {
    this.path = join(CACHE, `${name}-${process.pid}-${crypto.randomUUID()}`)
    mkdirSync(this.path, { recursive: true })
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true })
  }
}
