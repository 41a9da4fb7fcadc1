import { crc32 } from "node:zlib"

/** Bytes of a frame's header, and the most of its payload (spec/agent.md). */
export const HEADER = 16
export const MOST_PAYLOAD = 64 << 10

/** What a frame is. */
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

export interface AgentFrame {
  readonly type: number
  readonly stream: number
  readonly payload: Uint8Array
}

/** The bytes of a frame whose payload is `parts`, one after the other. */
export function frameOf(type: number, stream: number, ...parts: readonly Uint8Array[]): Buffer {
  const frame = Buffer.concat([new Uint8Array(HEADER), ...parts])
  frame.writeUInt32LE(type, 0)
  frame.writeUInt32LE(stream, 4)
  frame.writeUInt32LE(frame.length - HEADER, 8)
  frame.writeUInt32LE(checksum(frame, frame.length - HEADER), 12)
  return frame
}

export function number(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value >>> 0)
  return bytes
}

function checksum(frame: Buffer, length: number): number {
  return crc32(frame.subarray(HEADER, HEADER + length), crc32(frame.subarray(0, 12)))
}

/**
 * Makes frames of what an agent sends, from its answer to one HELLO on: what it said to a host before is passed over
 * (OVMS-AGT-011). Holds no more than one frame.
 */
export class FrameReader {
  #held: Buffer = Buffer.alloc(0)
  #answered = false

  constructor(private readonly nonce: Uint8Array) {}

  /** Throws a sentence for what cannot be a frame: from then on nothing can be understood. */
  *read(bytes: Uint8Array): Generator<AgentFrame> {
    this.#held = this.#held.length === 0 ? Buffer.from(bytes) : Buffer.concat([this.#held, bytes])
    if (!this.#answered && !this.#findAnswer()) return
    for (;;) {
      const held = this.#held
      if (held.length < HEADER) return
      const length = held.readUInt32LE(8)
      if (length > MOST_PAYLOAD) throw new Error(`a frame of ${length} bytes`)
      if (held.length < HEADER + length) return
      if (held.readUInt32LE(12) !== checksum(held, length)) throw new Error("a frame that is damaged")
      this.#held = held.subarray(HEADER + length)
      const payload = held.subarray(HEADER, HEADER + length)
      yield { type: held.readUInt32LE(0), stream: held.readUInt32LE(4), payload }
    }
  }

  #findAnswer(): boolean {
    const at = this.#held.indexOf(this.nonce)
    this.#answered = at >= HEADER
    this.#held = this.#answered
      ? this.#held.subarray(at - HEADER)
      : this.#held.subarray(Math.max(0, this.#held.length - HEADER - this.nonce.length))
    return this.#answered
  }
}
