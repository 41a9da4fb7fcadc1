import { closeSync, openSync, readSync } from "node:fs"
import type { StreamInput } from "../../content/archive/input.ts"
import { OvmError } from "../../errors.ts"
import { append } from "../../files/append.ts"
import { BATCH } from "../../files/batch.ts"
import { guardedSync } from "../../files/guarded.ts"
import { writing } from "../../files/writing.ts"
import type { StoredContent } from "../ext4/node.ts"
import type { Contents } from "../ext4/write.ts"

/** Where the content of files is put aside, one after the other, until it is known which of them stay. */
export class Spool implements Contents, Disposable {
  readonly #fd: number
  readonly #waiting = Buffer.alloc(BATCH)
  #waits = 0
  /** Of what is in the file. */
  #size = 0

  constructor(private readonly path: string) {
    this.#fd = guardedSync(() => openSync(path, "wx+", 0o600))
  }

  /** Puts the next `size` bytes of `input` aside; undefined if there are not so many. */
  async keep(input: StreamInput, size: number): Promise<StoredContent | undefined> {
    const at = this.#size + this.#waits
    for (let left = size; left > 0; ) {
      const piece = await input.some(left)
      if (piece.byteLength === 0) return undefined
      left -= piece.byteLength
      await this.#add(piece)
    }
    return { at, size }
  }

  async add(bytes: Uint8Array): Promise<StoredContent> {
    const at = this.#size + this.#waits
    await this.#add(bytes)
    return { at, size: bytes.byteLength }
  }

  /** A copy of it: a small piece would hold on to all that it came with. */
  async #add(piece: Uint8Array): Promise<void> {
    for (let done = 0; done < piece.byteLength; ) {
      const some = piece.subarray(done, done + BATCH - this.#waits)
      this.#waiting.set(some, this.#waits)
      this.#waits += some.byteLength
      done += some.byteLength
      if (this.#waits === BATCH) await this.flush()
    }
  }

  /** Has all of it be in the file. */
  async flush(): Promise<void> {
    await writing(this.path, () => append(this.#fd, [this.#waiting.subarray(0, this.#waits)], this.#size))
    this.#size += this.#waits
    this.#waits = 0
  }

  read(at: number, into: Uint8Array): void {
    for (let done = 0; done < into.byteLength; ) {
      const count = readSync(this.#fd, into, done, into.byteLength - done, at + done)
      if (count === 0) throw new OvmError("OVM_INTERNAL", `${this.path} is cut short`)
      done += count
    }
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd)
  }
}
