const [FRAME, SKIPPED] = [0xfd2fb528, 0x184d2a5]
const RUN_LENGTH = 1

/**
 * Follows the frames of a zstd file (RFC 8878, 3.1) while its bytes go by: the library that unpacks them takes a file
 * that is cut off for one that ends there.
 */
export class ZstdFrames {
  /** Bytes that are not looked at. */
  #skip = 0
  /** Of a header, what has come of it. */
  #head: number[] = []
  #inFrame = false
  /** What follows the last block of the frame. */
  #checksum = 0

  /** Whether no frame has begun that has not ended. */
  get whole(): boolean {
    return !this.#inFrame && this.#skip === 0 && this.#head.length === 0
  }

  push(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; ) {
      if (this.#skip > 0) {
        const count = Math.min(this.#skip, bytes.length - at)
        this.#skip -= count
        at += count
        continue
      }
      this.#head.push(bytes[at++] as number)
      const skip = this.#inFrame ? this.#block() : this.#frame()
      if (skip === undefined) continue
      this.#skip = skip
      this.#head = []
    }
  }

  /** How many bytes follow the header before the next one; undefined while it is not whole. */
  #frame(): number | undefined {
    if (this.#head.length < 5) return undefined
    const head = Buffer.from(this.#head)
    const magic = head.readUInt32LE(0)
    if (magic >>> 4 === SKIPPED) return head.length < 8 ? undefined : head.readUInt32LE(4)
    // The library says of what is none.
    if (magic !== FRAME) return 0
    const flags = head[4] as number
    const single = (flags >> 5) & 1
    const dictionary = [0, 1, 2, 4][flags & 3] as number
    const size = flags >> 6 ? 1 << (flags >> 6) : single
    this.#inFrame = true
    this.#checksum = flags & 4
    return 1 - single + dictionary + size
  }

  #block(): number | undefined {
    if (this.#head.length < 3) return undefined
    const header = Buffer.from(this.#head).readUIntLE(0, 3)
    const size = ((header >> 1) & 3) === RUN_LENGTH ? 1 : header >> 3
    if ((header & 1) === 0) return size
    this.#inFrame = false
    return size + this.#checksum
  }
}
