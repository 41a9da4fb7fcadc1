import { closeSync, ftruncateSync, openSync, writeSync } from "node:fs"
import { toOvmError } from "../../../errors.ts"
import { BATCH } from "../../../files/batch.ts"
import { named } from "../../../files/writing.ts"
import { PAGE } from "./format.ts"
import type { PageSink } from "./head.ts"

const ZEROS = new Uint8Array(PAGE)

/**
 * A sparse file that becomes a guest's RAM. A page that was never anything but zero is never written, and stays a hole.
 * Writes are synchronous: they go to the page cache, and so the stream is read no faster than it can be stored. Throws
 * OVM_NO_SPACE, OVM_PERMISSION_DENIED, OVM_FILE_UNREADABLE.
 */
export class RamWriter implements PageSink {
  readonly #file: number
  /** One bit a page: there is something in the file. */
  readonly #written: Uint8Array
  readonly #run = new Uint8Array(BATCH)
  #runStart = 0
  #runLength = 0
  #pages = 0

  /** `path` must not exist; `size` is in bytes, a multiple of 4 KiB. */
  constructor(
    private readonly path: string,
    size: number,
  ) {
    this.#written = new Uint8Array(Math.ceil(size / PAGE / 8))
    try {
      this.#file = openSync(path, "wx", 0o600)
      ftruncateSync(this.#file, size)
    } catch (thrown) {
      throw toOvmError(named(path, thrown))
    }
  }

  /** Bytes that are not holes, as far as this knows. */
  get data(): number {
    return this.#pages * PAGE
  }

  page(offset: number, bytes: Uint8Array): void {
    if (offset !== this.#runStart + this.#runLength || this.#runLength === BATCH) {
      this.flush()
      this.#runStart = offset
    }
    this.#run.set(bytes, this.#runLength)
    this.#runLength += PAGE
    if (this.#has(offset)) return
    const page = offset / PAGE
    this.#written[page >>> 3] = (this.#written[page >>> 3] ?? 0) | (1 << (page & 7))
    this.#pages++
  }

  zero(offset: number): void {
    if (this.#has(offset)) this.page(offset, ZEROS)
  }

  flush(): void {
    try {
      for (let done = 0; done < this.#runLength; )
        done += writeSync(this.#file, this.#run, done, this.#runLength - done, this.#runStart + done)
    } catch (thrown) {
      throw toOvmError(named(this.path, thrown))
    } finally {
      this.#runLength = 0
    }
  }

  close(): void {
    closeSync(this.#file)
  }

  #has(offset: number): boolean {
    const page = offset / PAGE
    return ((this.#written[page >>> 3] ?? 0) & (1 << (page & 7))) !== 0
  }
}
