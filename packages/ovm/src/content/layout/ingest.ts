import { fchmodSync, fstatSync, renameSync, statSync } from "node:fs"
import { type FileHandle, open, unlink } from "node:fs/promises"
import { dirname, join } from "node:path"
import { append } from "../../files/append.ts"
import { batches } from "../../files/batch.ts"
import { readChunks } from "../../files/chunks.ts"
import { ifPresent } from "../../files/present.ts"
import { openRegular } from "../../files/regular.ts"
import { syncDirectory, synced, syncFile } from "../../files/sync.ts"
import { writing } from "../../files/writing.ts"
import { flock, shareBlocks } from "../../host/libc.ts"
import { lock } from "../../host/lock.ts"
import { type Digest, sha256 } from "../digest.ts"
import { fillHashed } from "../fill-hashed.ts"
import type { Bytes, Progressing } from "../interfaces.ts"
import { hashFile } from "./blobs.ts"
import type { LayoutFiles } from "./files.ts"
import type { Stamps } from "./stamps.ts"

/** What blobs come into. */
export interface Intake {
  readonly files: LayoutFiles
  readonly stamps: Stamps
  /** Whether a blob survives a crash of the host as soon as it is one. */
  readonly durable: boolean
}

/** A file that is becoming a blob. */
export interface OpenFile {
  readonly path: string
  readonly fd: number
}

/** A blob on its way in: a temporary file, locked while its writer lives, that becomes a blob by one rename. */
export class Ingest implements AsyncDisposable {
  private constructor(
    private readonly into: Intake,
    private readonly path: string,
    private readonly handle: FileHandle,
  ) {}

  // Under the store's lock, so that the collector never sees the file between its making and its locking.
  static async begin(into: Intake): Promise<Ingest> {
    const { files } = into
    using _ = await lock(files.lock, "shared")
    const path = join(files.ingest, crypto.randomUUID())
    return Ingest.#locked(into, path, await open(path, "wx+", 0o600))
  }

  /** Takes the regular file `from` itself; undefined where it is on another file system, and stays where it is. */
  static async given(into: Intake, from: string): Promise<Ingest | undefined> {
    const { files } = into
    using _ = await lock(files.lock, "shared")
    const path = join(files.ingest, crypto.randomUUID())
    const handle = await openRegular(from)
    try {
      renameSync(from, path)
    } catch (thrown) {
      await handle.close()
      if ((thrown as NodeJS.ErrnoException).code === "EXDEV") return undefined
      throw thrown
    }
    return Ingest.#locked(into, path, handle)
  }

  static #locked(into: Intake, path: string, handle: FileHandle): Ingest {
    flock(handle.fd, "exclusive", path)
    return new Ingest(into, path, handle)
  }

  get size(): number {
    return fstatSync(this.handle.fd).size
  }

  async write(content: Bytes): Promise<void> {
    let at = 0
    for await (const { chunks, size } of batches(content)) {
      await writing(this.path, () => append(this.handle.fd, chunks, at))
      at += size
    }
  }

  /** Fills the file with what comes. Where it is to be durable, the disk begins to take it. */
  take(content: Bytes): Promise<{ digest: Digest; size: number }> {
    const { path, handle, into } = this
    return fillHashed({ path, fd: handle.fd }, content, { behind: into.durable })
  }

  /**
   * Fills the file with a copy of `source` and says what was written. Where the file system can share blocks, the
   * copy is free and the hash reads it; elsewhere both are done in one reading.
   */
  async copyOf(source: string, call: Progressing): Promise<{ digest: Digest; size: number }> {
    if (await this.#clone(source)) {
      const { size } = await this.handle.stat()
      return { digest: await hashFile(this.path, call), size }
    }
    const hash = sha256()
    let size = 0
    const hashing = async function* (content: Bytes): Bytes {
      for await (const chunk of content) {
        hash.update(chunk)
        size += chunk.byteLength
        yield chunk
        call.onBytes?.(size)
      }
    }
    await this.write(hashing(readChunks(source, call)))
    return { digest: hash.digest(), size }
  }

  async #clone(source: string): Promise<boolean> {
    const from = await openRegular(source)
    try {
      return shareBlocks(from.fd, this.handle.fd)
    } finally {
      await from.close()
    }
  }

  /** Makes the file, which must have been verified, the blob `digest`. */
  commit(digest: Digest): Promise<void> {
    return settle(this.into, { path: this.path, fd: this.handle.fd }, digest)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await ifPresent(unlink(this.path))
    await this.handle.close()
  }
}

/** Brings blobs that are here, and verified, to the disk: what was pulled may not be there yet. */
export async function settleBlobs({ files, stamps }: Intake, digests: readonly Digest[]): Promise<void> {
  const late = digests.flatMap((digest) => {
    const path = files.blob(digest)
    const stat = statSync(path, { bigint: true })
    return stamps.isSynced(digest, stat) ? [] : [{ digest, path, stat }]
  })
  for (const { path } of late) await syncFile(path)
  if (late.length > 0) await syncDirectory(files.blobs)
  for (const { digest, stat } of late) await stamps.put(digest, stat, true)
}

/** Makes a file, which must have been verified, the blob `digest`. */
export async function settle(
  { files, stamps, durable }: Intake,
  { path, fd }: OpenFile,
  digest: Digest,
): Promise<void> {
  const blob = files.blob(digest)
  await writing(blob, async () => {
    fchmodSync(fd, 0o444)
    if (durable) await synced(fd)
    renameSync(path, blob)
  })
  if (durable) await syncDirectory(dirname(blob))
  // After the rename, which changes the file's ctime.
  const now = statSync(blob, { bigint: true, throwIfNoEntry: false })
  const mine = fstatSync(fd, { bigint: true })
  if (now?.ino === mine.ino) await stamps.put(digest, mine, durable)
}
