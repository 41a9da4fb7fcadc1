import { statSync } from "node:fs"
import { chmod, rename, rm, stat, unlink } from "node:fs/promises"
import { resolve as absolute, join } from "node:path"
import type { Digest } from "../content/digest.ts"
import type { Call } from "../content/interfaces.ts"
import { FileStamps } from "../content/layout/stamps.ts"
import { guarded } from "../files/guarded.ts"
import { ifPresent } from "../files/present.ts"
import { lock } from "../host/lock.ts"
import { CacheFiles, type Key, keyName, touch } from "./files.ts"
import { holdKey, release } from "./holders.ts"
import { addSource } from "./sources.ts"

/** How a file is derived. */
export interface Derivation {
  /** Makes the file at `into`, where nothing is. May throw; what is left there is removed. */
  make(into: string, call: Call): Promise<unknown>
  /**
   * Whether the file at `path` is still what `make` would make. Asked if it may have changed since, and after a boot.
   */
  verify(path: string, call: Call): Promise<boolean>
}

export interface GetOptions extends Call {
  /** Id of what will use the file, such as an instance: until `release` it is not evicted. */
  readonly holder?: string
  /** The blob that it is made of, if its going should take the file along (`alive` of collectCache). */
  readonly source?: Digest
}

/** How long one process waits for another to make the same file: ten minutes. */
const PATIENCE_MS = 600_000

/** Files derived from content, below one folder, shared by the processes of one user (docs/design/0016-cache.md). */
export class Cache {
  readonly #files: CacheFiles

  constructor(root: string) {
    this.#files = new CacheFiles(absolute(root))
  }

  /**
   * Absolute path of the file for `key`, made now if there is none: once, however many processes ask. Nobody may write
   * to it. Throws what `make` and `verify` throw, OVM_STORE_BUSY, OVM_NO_SPACE, OVM_INTERRUPTED.
   */
  get(key: Key, derivation: Derivation, options: GetOptions = {}): Promise<string> {
    return guarded(async () => {
      this.#files.create(key.recipe)
      if (options.holder !== undefined) await holdKey(this.#files, options.holder, key)
      if (options.source !== undefined) addSource(this.#files, key, options.source)
      const path = this.#files.file(key)
      if (await this.#isKnown(key)) {
        touch(this.#files.keyLock(key))
        return path
      }
      const lockPath = this.#files.keyLock(key)
      using _ = await lock(lockPath, "exclusive", { ...options, timeoutMs: PATIENCE_MS })
      touch(lockPath)
      if (await this.#isKnown(key)) return path
      if (!(await this.#isVerified(key, derivation, options))) await this.#make(key, derivation, options)
      return path
    })
  }

  /**
   * The path that `get` would give, if the file is there and need not be verified first; otherwise undefined, and
   * nothing is made.
   */
  peek(key: Key): Promise<string | undefined> {
    return guarded(async () => ((await this.#isKnown(key)) ? this.#files.file(key) : undefined))
  }

  /** Lets go of everything that `holder` uses. */
  release(holder: string): Promise<void> {
    return guarded(() => release(this.#files, holder))
  }

  async #isKnown(key: Key): Promise<boolean> {
    const found = statSync(this.#files.file(key), { bigint: true, throwIfNoEntry: false })
    return found !== undefined && (await this.#stamps(key).has(key.digest, found))
  }

  /** The stat is from before the look: a file that changes meanwhile does not match its stamp. */
  async #isVerified(key: Key, derivation: Derivation, call: Call): Promise<boolean> {
    const path = this.#files.file(key)
    const before = await ifPresent(stat(path, { bigint: true }))
    if (!before) return false
    if (!(await derivation.verify(path, call))) {
      await ifPresent(unlink(path))
      return false
    }
    await this.#stamps(key).put(key.digest, before, false)
    return true
  }

  async #make(key: Key, derivation: Derivation, call: Call): Promise<void> {
    const path = this.#files.file(key)
    const making = join(this.#files.making, `${keyName(key)}.${crypto.randomUUID()}`)
    try {
      await derivation.make(making, call)
      await chmod(making, 0o600)
      await rename(making, path)
    } finally {
      await rm(making, { force: true })
    }
    // After the rename, which changes the file's ctime.
    await this.#stamps(key).put(key.digest, await stat(path, { bigint: true }), false)
  }

  #stamps({ recipe }: Key): FileStamps {
    return new FileStamps(this.#files.stamps(recipe))
  }
}
