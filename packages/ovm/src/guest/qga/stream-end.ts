import { HEADER, number, TYPE } from "../agent/frame.ts"
import type { AgentStream, Channel } from "../agent/stream.ts"

/** What may be under way of output before it was granted (spec/agent.md, "Credit"). */
const WINDOW = 256 << 10
const PIECE = 32 << 10
const CHANNELS: Readonly<Record<Channel, number>> = { stdout: 1, stderr: 2 }

/**
 * The guest's end of a stream whose agent is none of ours: what the host says of it, and what is said for the agent.
 */
export class StreamEnd {
  /** Aborted once it is to end. */
  readonly closed: AbortSignal
  readonly #closing = new AbortController()
  readonly #input: Uint8Array[] = []
  #ended = false
  #credit = WINDOW
  readonly #waiting: (() => void)[] = []
  /** Hears the numbers of signals. */
  onSignal: (signal: number) => void = () => {}
  #stream: AgentStream | undefined

  constructor() {
    this.closed = this.#closing.signal
  }

  serves(stream: AgentStream): void {
    this.#stream = stream
  }

  /** What the host says: a frame of it (spec/agent.md, "Frames"). */
  hear(frame: Uint8Array): void {
    const bytes = Buffer.from(frame.buffer, frame.byteOffset, frame.length)
    const [type, payload] = [bytes.readUInt32LE(), bytes.subarray(HEADER)]
    if (type === TYPE.data) this.#input.push(payload)
    else if (type === TYPE.end) this.#ended = true
    else if (type === TYPE.credit) this.#credit += payload.readUInt32LE()
    else if (type === TYPE.signal) this.onSignal(payload.readUInt32LE())
    else if (type === TYPE.close) this.#closing.abort()
    this.#wake()
  }

  /** Nobody hears any more what is said. */
  abort(): void {
    this.#closing.abort()
    this.#wake()
  }

  /** Input, until its end or until the stream is to end. */
  async *input(): AsyncGenerator<Uint8Array> {
    while (!this.closed.aborted) {
      const piece = this.#input.shift()
      if (piece) {
        yield piece
        this.#stream?.take(TYPE.credit, number(piece.length))
      } else if (this.#ended) return
      else await this.#change()
    }
  }

  /** Output; settles once the host has room for it, or the stream is to end: then nobody may read any more. */
  async say(channel: Channel, bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length; ) {
      while (this.#credit === 0) {
        if (this.closed.aborted) return
        await this.#change()
      }
      const piece = bytes.subarray(at, at + Math.min(this.#credit, PIECE))
      at += piece.length
      this.#credit -= piece.length
      this.#stream?.take(TYPE.data, Buffer.concat([Buffer.of(CHANNELS[channel]), piece]))
    }
  }

  #change(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  #wake(): void {
    for (const go of this.#waiting.splice(0)) go()
  }
}
