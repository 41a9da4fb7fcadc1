import type { Bytes, Call } from "../../content/interfaces.ts"

/** A layer on its way, in order. What is asked for is mostly there already: no copy is made of it then. */
export class LayerInput {
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

  /** The next bytes; fewer than `count` only at the end. */
  async read(count: number): Promise<Uint8Array> {
    const first = await this.some(count)
    if (first.byteLength === count || first.byteLength === 0) return first
    const parts = [first]
    for (let left = count - first.byteLength; left > 0; ) {
      const piece = await this.some(left)
      if (piece.byteLength === 0) break
      parts.push(piece)
      left -= piece.byteLength
    }
    return Buffer.concat(parts)
  }

  /** False if there are not so many left. */
  async skip(count: number): Promise<boolean> {
    for (let left = count; left > 0; ) {
      const piece = await this.some(left)
      if (piece.byteLength === 0) return false
      left -= piece.byteLength
    }
    return true
  }
}
