import type { FileHandle } from "node:fs/promises"
import { readSparse } from "../../files/sparse.ts"
import type { Bytes, Call } from "../interfaces.ts"

/** Bytes in order, from a file or a pipe. */
export interface TarInput {
  /** How many bytes are behind us. */
  readonly position: number
  /** The next bytes; fewer than `count` only at the end. */
  read(count: number): Promise<Uint8Array>
  /** The next bytes as they come, `count` of them unless the end is before. */
  content(count: number): Bytes
  /** False if there are not so many left. */
  skip(count: number): Promise<boolean>
}

/** A pipe: what is skipped is read. What is asked for is mostly there already: no copy is made of it then. */
export class StreamInput implements TarInput {
  readonly #chunks: AsyncIterator<Uint8Array>
  #rest: Uint8Array = new Uint8Array()
  position = 0

  constructor(
    content: Bytes,
    private readonly call: Call = {},
  ) {
    this.#chunks = content[Symbol.asyncIterator]()
  }

  /** The next bytes as they come, `most` of them or fewer; none at the end. */
  async some(most: number): Promise<Uint8Array> {
    while (this.#rest.byteLength === 0) {
      this.call.signal?.throwIfAborted()
      const next = await this.#chunks.next()
      if (next.done) return this.#rest
      this.#rest = next.value
    }
    const piece = this.#rest.subarray(0, most)
    this.#rest = this.#rest.subarray(piece.byteLength)
    this.position += piece.byteLength
    return piece
  }

  async read(count: number): Promise<Uint8Array> {
    const first = await this.some(count)
    if (first.byteLength === count || first.byteLength === 0) return first
    return Buffer.concat([first, ...(await Array.fromAsync(this.content(count - first.byteLength)))])
  }

  async *content(count: number): Bytes {
    for (let left = count; left > 0; ) {
      const piece = await this.some(left)
      if (piece.byteLength === 0) return
      left -= piece.byteLength
      yield piece
    }
  }

  async skip(count: number): Promise<boolean> {
    let left = count
    for await (const piece of this.content(count)) left -= piece.byteLength
    return left === 0
  }
}

/** An open file: what is skipped is not read. */
export class FileInput implements TarInput {
  position = 0

  constructor(
    private readonly handle: FileHandle,
    private readonly size: number,
    private readonly call: Call = {},
  ) {}

  async read(count: number): Promise<Uint8Array> {
    return Buffer.concat(await Array.fromAsync(this.content(count)))
  }

  async *content(count: number): Bytes {
    for await (const chunk of readSparse(this.handle, this.position, this.position + count, this.call)) {
      this.position += chunk.byteLength
      yield chunk
    }
  }

  async skip(count: number): Promise<boolean> {
    this.position += count
    return this.position <= this.size
  }
}
