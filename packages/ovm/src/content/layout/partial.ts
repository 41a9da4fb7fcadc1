import {
  chmodSync,
  closeSync,
  constants,
  fstatSync,
  ftruncateSync,
  openSync,
  type Stats,
  statSync,
} from "node:fs"
import { unlink } from "node:fs/promises"
import { join } from "node:path"
import { type Extent, Extents } from "../../files/extents.ts"
import { guarded } from "../../files/guarded.ts"
import { ifPresent, isAbsent } from "../../files/present.ts"
import { overwrite } from "../../files/sparse.ts"
import { writing } from "../../files/writing.ts"
import { flock } from "../../host/libc.ts"
import { lock } from "../../host/lock.ts"
import type { Descriptor } from "../descriptor.ts"
import { type Digest, hexOf } from "../digest.ts"
import { type FileHash, hashBehind } from "../hasher.ts"
import type { Call, Incoming, IncomingFile } from "../interfaces.ts"
import { digestMismatch, sizeMismatch } from "../verify.ts"
import { type Intake, type OpenFile, settle } from "./ingest.ts"
import { Journal } from "./journal.ts"

export const PARTIAL = ".partial"
export const JOURNAL = ".extents"

/**
 * A blob that comes in pieces: a sparse file under its digest's name, with a journal of what is written beside it, both
 * left behind by an attempt that fails (docs/design/0011-transfer.md). The file is locked by its writer.
 */
export class PartialBlob implements Incoming {
  readonly #extents = new Extents()
  #journal: Journal | undefined
  #hash: FileHash | undefined
  /** The digest, where it was hashed on its way here. */
  #whole: Digest | undefined
  #open = true

  private constructor(
    private readonly into: Intake,
    private readonly expected: Descriptor,
    private readonly place: OpenFile,
    resumable: boolean,
  ) {
    const { path, fd } = place
    if (fstatSync(fd).size > expected.size) ftruncateSync(fd, 0)
    if (resumable) this.#journal = new Journal(journalOf(path), fd, expected.size, this.#extents)
    // What is there already is hashed while the rest comes.
    if (this.#extents.front > 0) this.#hashed()
  }

  // Under the store's lock, so that the collector never sees the file between its making and its locking.
  static async begin(into: Intake, expected: Descriptor, call: Call): Promise<PartialBlob> {
    const { files } = into
    using _ = await lock(files.lock, "shared", call)
    const path = join(files.ingest, `${hexOf(expected.digest)}${PARTIAL}`)
    const fd = openLocked(path)
    if (fd !== undefined) return new PartialBlob(into, expected, { path, fd }, true)
    // Somebody else is fetching the same blob at this moment. Who comes second does without resuming.
    const own = join(files.ingest, crypto.randomUUID())
    return new PartialBlob(into, expected, { path: own, fd: openLocked(own) ?? fail(own) }, false)
  }

  missing() {
    return this.#extents.missing(this.expected.size)
  }

  async writeAt(chunks: readonly Uint8Array[], at: number): Promise<void> {
    const end = at + chunks.reduce((sum, chunk) => sum + chunk.byteLength, 0)
    if (end > this.expected.size)
      throw sizeMismatch(this.expected, `more than ${this.expected.size}`, this.place.path)
    await guarded(() =>
      writing(this.place.path, async () => {
        await overwrite({ fd: this.place.fd, size: this.expected.size }, chunks, at)
        this.#wrote({ start: at, end }, false)
      }),
    )
  }

  get file(): IncomingFile {
    return {
      ...this.place,
      wrote: (extent, alongside) => this.#wrote(extent, alongside),
      hashed: (digest) => {
        this.#whole = digest
      },
    }
  }

  #wrote(extent: Extent, alongside: boolean): void {
    this.#extents.add(extent)
    this.#journal?.add(extent)
    if (!alongside && this.#extents.front > extent.start) this.#hashed()
  }

  commit(): Promise<void> {
    return guarded(async () => {
      const { size, digest } = this.expected
      if (this.#extents.front !== size)
        throw sizeMismatch(this.expected, `${this.#extents.total}`, this.place.path)
      const found = await this.#digest()
      if (found !== digest) {
        await this.reset()
        throw digestMismatch(this.expected, found, "what came")
      }
      await settle(this.into, this.place, digest)
      this.#journal?.remove()
      this.#journal = undefined
    })
  }

  async #digest(): Promise<Digest> {
    if (this.#whole !== undefined) return this.#whole
    const found = await this.#hashed().digest()
    this.#hash = undefined
    return found
  }

  async reset(): Promise<void> {
    await this.#hash?.cancel()
    this.#hash = undefined
    this.#whole = undefined
    this.#extents.clear()
    this.#journal?.clear()
  }

  /** The hash, as far as the file has no gaps. */
  #hashed(): FileHash {
    this.#hash ??= hashBehind(this.place.fd)
    this.#hash.written(this.#extents.front)
    return this.#hash
  }

  async abort(): Promise<void> {
    if (!this.#open) return
    this.#open = false
    await this.#hash?.cancel()
    const kept = this.#journal !== undefined && this.#extents.total > 0
    this.#journal?.close(kept)
    if (!kept) await this.#remove()
    closeSync(this.place.fd)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.abort()
  }

  // Nothing in it is worth keeping, or it is a blob by now and its old name is gone.
  async #remove(): Promise<void> {
    if (!isNamed(this.place.path, fstatSync(this.place.fd))) return
    await ifPresent(unlink(this.place.path))
    await ifPresent(unlink(journalOf(this.place.path)))
  }
}

export function journalOf(path: string): string {
  return path.slice(0, -PARTIAL.length) + JOURNAL
}

export function partialOf(journal: string): string {
  return journal.slice(0, -JOURNAL.length) + PARTIAL
}

/** Opens and locks `path`; undefined if somebody else has it locked. */
function openLocked(path: string): number | undefined {
  while (true) {
    const fd = openWritable(path)
    if (!flock(fd, "exclusive", path)) {
      closeSync(fd)
      return undefined
    }
    // Between the two its former writer may have made it a blob, which must not be written to.
    if (isNamed(path, fstatSync(fd))) return fd
    closeSync(fd)
  }
}

function openWritable(path: string): number {
  const open = () => openSync(path, constants.O_RDWR | constants.O_CREAT, 0o600)
  try {
    return open()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EACCES") throw error
    // Its writer died between making it read-only and making it a blob.
    chmodSync(path, 0o600)
    return open()
  }
}

function isNamed(path: string, { ino }: Stats): boolean {
  try {
    return statSync(path).ino === ino
  } catch (error) {
    if (isAbsent(error)) return false
    throw error
  }
}

function fail(path: string): never {
  throw Object.assign(new Error("a new file is locked"), { code: "EACCES", path })
}
