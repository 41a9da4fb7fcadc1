import type { FileHandle } from "node:fs/promises"
import { append } from "../../files/append.ts"

/** Bytes that are written in one call. */
export const BLOCK = 512 * 1024

/** Writes chunks at the end of a file in large blocks: while the system writes one, the next one comes in. */
export class Appender {
  /** Bytes of the file that are known to be written. */
  written: number
  failed = false
  #block: Buffer | undefined
  #spare: Buffer | undefined
  #filled = 0
  #writing: Promise<void> = Promise.resolve()

  constructor(
    private readonly handle: FileHandle,
    start: number,
    /** Told how long the file is by now. */
    private readonly progress: (written: number) => void,
  ) {
    this.written = start
  }

  async add(chunk: Uint8Array): Promise<void> {
    for (let at = 0; at < chunk.byteLength; ) {
      this.#block ??= Buffer.allocUnsafe(BLOCK)
      const part = chunk.subarray(at, at + BLOCK - this.#filled)
      this.#block.set(part, this.#filled)
      this.#filled += part.byteLength
      at += part.byteLength
      if (this.#filled === BLOCK) await this.#flush()
    }
  }

  /** Writes what is left and waits for all of it. */
  async end(): Promise<void> {
    await this.#flush()
    await this.#writing
  }

  async #flush(): Promise<void> {
    await this.#writing
    if (!this.#block || this.#filled === 0) return
    const block = this.#block.subarray(0, this.#filled)
    this.#writing = this.#write(block)
    // Awaited by the next one: until then nobody looks.
    this.#writing.catch(() => {})
    ;[this.#block, this.#spare] = [this.#spare, this.#block]
    this.#filled = 0
  }

  async #write(block: Uint8Array): Promise<void> {
    try {
      await append(this.handle.fd, [block], this.written)
      this.written += block.byteLength
      this.progress(this.written)
    } catch (error) {
      this.failed = true
      throw error
    }
  }
}
