import { existsSync, mkdirSync, utimesSync } from "node:fs"
import { join } from "node:path"
import { type Digest, hexOf } from "../content/digest.ts"
import { OvmError } from "../errors.ts"

/** What a derived file is: how it was made, and of what. */
export interface Key {
  /** A name of the recipe, such as `ram`. */
  readonly recipe: string
  /** Of what it was made of, or of what it holds: whichever the recipe takes. */
  readonly digest: Digest
}

const NAME = /^[a-z][a-z0-9-]{0,31}$/

/** Where things are in a cache (docs/design/0016-cache.md). */
export class CacheFiles {
  readonly lock: string
  readonly files: string
  readonly locks: string
  readonly making: string
  readonly verified: string
  readonly holders: string
  readonly sources: string

  constructor(readonly root: string) {
    this.lock = join(root, "lock")
    this.files = join(root, "files")
    this.locks = join(root, "locks")
    this.making = join(root, "making")
    this.verified = join(root, "verified")
    this.holders = join(root, "holders")
    this.sources = join(root, "sources")
  }

  /**
   * Makes the folders for files of `recipe`. Synchronously, as everything small is done here that a start waits for:
   * the thread pool would take longer.
   */
  create(recipe: string): void {
    if (!NAME.test(recipe))
      throw new OvmError("OVM_INTERNAL", `${JSON.stringify(recipe)} cannot name a recipe`)
    const folders = [
      this.locks,
      this.making,
      this.holders,
      this.sources,
      join(this.files, recipe),
      this.stamps(recipe),
    ]
    for (const folder of folders) mkdirSync(folder, { recursive: true, mode: 0o700 })
  }

  file({ recipe, digest }: Key): string {
    return join(this.files, recipe, hexOf(digest))
  }

  /** Held while the file is made or verified. Its time is that of the last use. */
  keyLock(key: Key): string {
    return join(this.locks, keyName(key))
  }

  /** Which blobs it was made of, one a line. */
  source(key: Key): string {
    return join(this.sources, keyName(key))
  }

  /** Folder of the stamps. */
  stamps(recipe: string): string {
    return join(this.verified, recipe)
  }
}

/** The key in a name `RECIPE.HEX`, and in what begins so. */
export function parseKey(name: string): Key | undefined {
  const [, recipe, hex] = /^([a-z][a-z0-9-]{0,31})\.([0-9a-f]{64})(?:\.|$)/.exec(name) ?? []
  return recipe && hex ? { recipe, digest: `sha256:${hex}` } : undefined
}

export function keyName({ recipe, digest }: Key): string {
  return `${recipe}.${hexOf(digest)}`
}

/** Notes a use, if there is a file to note it on. Not the derived one itself: that would break its stamp. */
export function touch(path: string): void {
  const now = new Date()
  if (existsSync(path)) utimesSync(path, now, now)
}
