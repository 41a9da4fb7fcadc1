import type { Bytes } from "../content/interfaces.ts"

/** Takes a stream in pieces of chosen sizes. Keeps no more than one piece and one chunk of the stream. */
export class ByteReader implements AsyncDisposable {
  readonly #source: AsyncIterator<Uint8Array>
  #rest: Buffer = Buffer.alloc(0)
  #done = false

  constructor(content: Bytes) {
    this.#source = content[Symbol.asyncIterator]()
  }

  /** The next `count` bytes; fewer at the end. */
  async take(count: number): Promise<Buffer> {
    const parts: Buffer[] = []
    let length = 0
    while (length < count) {
      if (this.#rest.length === 0 && !(await this.#more())) break
      const part = this.#rest.subarray(0, count - length)
      this.#rest = this.#rest.subarray(part.length)
      parts.push(part)
      length += part.length
    }
    const [only] = parts
    return parts.length === 1 && only ? only : Buffer.concat(parts)
  }

  async ended(): Promise<boolean> {
    return this.#rest.length === 0 && !(await this.#more())
  }

  async #more(): Promise<boolean> {
    while (!this.#done) {
      const { value, done } = await this.#source.next()
      if (done) this.#done = true
      else if (value.byteLength > 0) {
        this.#rest = Buffer.from(value.buffer, value.byteOffset, value.byteLength)
        return true
      }
    }
    return false
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#source.return?.()
  }
}
