/** Types of frames (spec/agent.md). */
export const TYPE = {
  hello: 1,
  welcome: 2,
  ping: 3,
  pong: 4,
  open: 5,
  data: 6,
  end: 7,
  credit: 8,
  signal: 9,
  window: 10,
  close: 11,
  exit: 12,
  restarted: 13,
  outcome: 14,
} as const

export interface Frame {
  readonly type: number
  readonly stream: number
  readonly payload: Buffer
}

const HEADER = 16
const MOST = 65_536

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1
  return value >>> 0
})

function crc32(...pieces: readonly Uint8Array[]): number {
  let crc = 0xffffffff
  for (const piece of pieces) for (const byte of piece) crc = (crc >>> 8) ^ (TABLE[(crc ^ byte) & 255] ?? 0)
  return ~crc >>> 0
}

export function number(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value >>> 0)
  return bytes
}

export function texts(...words: readonly string[]): Buffer {
  return Buffer.from(words.map((word) => `${word}\0`).join(""))
}

export function frameOf(type: number, stream: number, ...pieces: readonly Uint8Array[]): Buffer {
  const payload = Buffer.concat(pieces)
  const head = Buffer.concat([number(type), number(stream), number(payload.length)])
  return Buffer.concat([head, number(crc32(head, payload)), payload])
}

/** Takes a stream of bytes apart. */
export class Frames {
  #held = Buffer.alloc(0)
  /** Zero bytes that came before the last frame. */
  zeros = 0

  /** What is whole by now. Throws where it is no frame. */
  push(bytes: Uint8Array): { frame: Frame; zeros: number }[] {
    this.#held = Buffer.concat([this.#held, bytes])
    const found = []
    for (;;) {
      let at = 0
      while (at < this.#held.length && this.#held[at] === 0) at++
      this.zeros += at
      this.#held = this.#held.subarray(at)
      if (this.#held.length < HEADER) return found
      const [type, stream, length, crc] = [0, 4, 8, 12].map((offset) => this.#held.readUInt32LE(offset))
      if (length === undefined || length > MOST) throw new Error(`a frame of ${length} bytes`)
      if (this.#held.length < HEADER + length) return found
      const payload = this.#held.subarray(HEADER, HEADER + length)
      if (crc32(this.#held.subarray(0, 12), payload) !== crc) throw new Error("a frame with a wrong checksum")
      found.push({
        frame: { type: type ?? 0, stream: stream ?? 0, payload: Buffer.from(payload) },
        zeros: this.zeros,
      })
      this.zeros = 0
      this.#held = this.#held.subarray(HEADER + length)
    }
  }
}

/** The texts of a payload. */
export function textsOf(payload: Buffer): string[] {
  return payload.toString().split("\0").slice(0, -1)
}
