import type { BigIntStats } from "node:fs"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { textIfPresent } from "../../files/present.ts"
import { writing } from "../../files/writing.ts"
import { bootId } from "../../host/boot-id.ts"
import { type Digest, hexOf } from "../digest.ts"

/**
 * Remembers which blobs were verified. A stamp holds what the kernel says of the file (device, inode, size, times), so
 * that one stat tells whether the bytes may have changed since. A stamp of a blob that was not fsynced also holds the
 * boot id: after a crash of the host it counts no more (docs/design/0011, "Durability").
 */
export interface Stamps {
  has(digest: Digest, stat: BigIntStats): Promise<boolean>
  /** Whether it is known to survive a crash of the host. */
  isSynced(digest: Digest, stat: BigIntStats): boolean
  put(digest: Digest, stat: BigIntStats, durable: boolean): Promise<void>
}

/**
 * Stamps beside the blobs, read and written synchronously: a few bytes take less time than their way through the thread
 * pool, and a start waits for several of them. They need no atomic write: a torn one matches nothing and costs one more
 * hash.
 */
export class FileStamps implements Stamps {
  constructor(private readonly directory: string) {}

  async has(digest: Digest, stat: BigIntStats): Promise<boolean> {
    const found = textIfPresent(this.#path(digest))
    return found === text(stat, "synced") || found === text(stat, bootId())
  }

  isSynced(digest: Digest, stat: BigIntStats): boolean {
    return textIfPresent(this.#path(digest)) === text(stat, "synced")
  }

  async put(digest: Digest, stat: BigIntStats, durable: boolean): Promise<void> {
    const path = this.#path(digest)
    await writing(path, () => writeFileSync(path, text(stat, durable ? "synced" : bootId()), { mode: 0o600 }))
  }

  #path(digest: Digest): string {
    return join(this.directory, hexOf(digest))
  }
}

/** Stamps for layouts that are not ours to write to: they last as long as the object. */
export class MemoryStamps implements Stamps {
  readonly #known = new Map<Digest, string>()

  async has(digest: Digest, stat: BigIntStats): Promise<boolean> {
    return this.#known.get(digest) === text(stat, bootId())
  }

  isSynced(): boolean {
    return false
  }

  async put(digest: Digest, stat: BigIntStats): Promise<void> {
    this.#known.set(digest, text(stat, bootId()))
  }
}

function text(stat: BigIntStats, since: string): string {
  return `${stat.dev} ${stat.ino} ${stat.size} ${stat.mtimeNs} ${stat.ctimeNs} ${since}\n`
}
