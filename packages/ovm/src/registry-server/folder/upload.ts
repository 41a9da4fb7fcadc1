import { createHash } from "node:crypto"
import { type FileHandle, open, readFile, rename, unlink } from "node:fs/promises"
import { dirname } from "node:path"
import { digestOf } from "../../content/digest.ts"
import { type FileHash, hashBehind } from "../../content/hasher.ts"
import type { Bytes } from "../../content/interfaces.ts"
import { untilAborted } from "../../content/until-aborted.ts"
import { OvmError } from "../../errors.ts"
import { readChunks } from "../../files/chunks.ts"
import { ifPresent } from "../../files/present.ts"
import { syncDirectory } from "../../files/sync.ts"
import { type BlobDigest, type DigestAlgorithm, digestAlgorithmOf } from "../digest.ts"
import type { Client, Upload } from "../interfaces.ts"
import { Appender, BLOCK } from "./appender.ts"
import { makeDirectory } from "./files.ts"
import { Turns } from "./turns.ts"

/** What an upload needs of the folder that it is in. */
export interface UploadPlace {
  /** Path of the file that takes the bytes. */
  readonly path: string
  /** Where the blob goes. */
  blob(digest: BlobDigest): string
  /** Runs `publish` and makes the blob one of the repository, both before or after a sweep. */
  admit(digest: BlobDigest, publish: () => Promise<void>): Promise<void>
  /** Called when more bytes have come; throws OVM_TOO_LARGE if they may not be. */
  room(): Promise<void>
  /** Called once, when the upload has ended. */
  ended(): void
}

/** What is known of an upload when it is taken up. */
export interface UploadFacts {
  readonly id: string
  readonly repository: string
  readonly client: Client
  /** Bytes that are there. */
  readonly size: number
  /** When a request worked on it last, in ms since 1970; now unless told. */
  readonly touched?: number
}

/**
 * One file that grows at its end, and is hashed behind it by another thread. A file from before this process is hashed
 * from its beginning.
 */
export class FolderUpload implements Upload {
  readonly #turns = new Turns()
  #latest = new AbortController()
  #handle: FileHandle | undefined
  #hash: FileHash | undefined
  #busy = 0
  #ended = false

  readonly id: string
  readonly repository: string
  readonly client: Client
  size: number
  /** When a request worked on it last, in ms since 1970. */
  touched: number

  constructor(
    { id, repository, client, size, touched = Date.now() }: UploadFacts,
    private readonly place: UploadPlace,
  ) {
    this.id = id
    this.repository = repository
    this.client = client
    this.size = size
    this.touched = touched
  }

  /** True while a request works on it. */
  get busy(): boolean {
    return this.#busy > 0
  }

  append(content: Bytes, at?: number): Promise<boolean> {
    this.#latest.abort(takenOver())
    const mine = new AbortController()
    this.#latest = mine
    return this.#turn(async () => {
      if (at !== undefined && at !== this.size) return false
      await this.#write(untilAborted(content, mine.signal))
      return true
    })
  }

  async #write(content: Bytes): Promise<void> {
    const handle = await this.#file()
    const appender = new Appender(handle, this.size, (count) => this.#written(handle, count))
    try {
      try {
        for await (const chunk of content) {
          // What waits to be written counts as well.
          this.size += chunk.byteLength
          await this.place.room().catch(async (error) => {
            // Before the sender is let go of, who would send on while the bytes are taken away.
            await appender.end()
            await this.#end()
            throw error
          })
          await appender.add(chunk)
        }
      } finally {
        await appender.end()
      }
    } finally {
      this.size = appender.written
      // Of a write that failed a part may be there.
      if (appender.failed) await handle.truncate(this.size).catch(() => {})
    }
  }

  async #file(): Promise<FileHandle> {
    this.#handle ??= await open(this.place.path, "r+")
    return this.#handle
  }

  // A small file is hashed faster than a thread is told of it.
  #written({ fd }: FileHandle, count: number): void {
    if (count < BLOCK) return
    this.#hash ??= hashBehind(fd)
    this.#hash.written(count)
  }

  commit(digest: BlobDigest): Promise<void> {
    return this.#turn(async () => {
      const found = await this.#digest(digestAlgorithmOf(digest))
      if (found !== digest) {
        await this.#end()
        throw new OvmError("OVM_DIGEST_MISMATCH", `an upload has the digest ${found}, not ${digest}`)
      }
      const handle = await this.#file()
      await handle.chmod(0o444)
      await handle.sync()
      const blob = this.place.blob(digest)
      await this.place.admit(digest, async () => {
        await makeDirectory(dirname(blob))
        await rename(this.place.path, blob)
        await syncDirectory(dirname(blob))
      })
      await this.#end()
    })
  }

  async #digest(algorithm: DigestAlgorithm): Promise<BlobDigest> {
    const { path } = this.place
    if (algorithm === "sha256") {
      if (this.size < BLOCK) return digestOf(await readFile(path))
      const handle = await this.#file()
      this.#written(handle, this.size)
      const hash = this.#hash
      this.#hash = undefined
      if (hash) return hash.digest()
    }
    const hash = createHash(algorithm)
    for await (const chunk of readChunks(path)) hash.update(chunk)
    return `${algorithm}:${hash.digest("hex")}`
  }

  /** Lets go of the file, which stays. */
  release(): Promise<void> {
    this.#latest.abort()
    return this.#turns.take("", () => this.#close())
  }

  cancel(): Promise<void> {
    this.#latest.abort()
    return this.#turns.take("", async () => {
      if (!this.#ended) await this.#end()
    })
  }

  async #end(): Promise<void> {
    this.#ended = true
    await this.#close()
    await ifPresent(unlink(this.place.path))
    this.place.ended()
  }

  async #close(): Promise<void> {
    await this.#hash?.cancel()
    this.#hash = undefined
    await this.#handle?.close()
    this.#handle = undefined
  }

  async #turn<T>(work: () => Promise<T>): Promise<T> {
    this.#busy++
    try {
      return await this.#turns.take("", () => {
        if (this.#ended) throw new OvmError("OVM_CONTENT_MISSING", `upload ${this.id} has ended`)
        return work()
      })
    } finally {
      this.#busy--
      this.touched = Date.now()
    }
  }
}

function takenOver(): OvmError {
  return new OvmError("OVM_INTERRUPTED", "another request took the upload over")
}
