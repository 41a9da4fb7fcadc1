import { OvmError } from "../../errors.ts"
import { frameOf, number, TYPE } from "./frame.ts"

/** What may be under way before it was granted, in bytes (spec/agent.md, "Credit"). */
const INPUT_WINDOW = 64 << 10
const OUTPUT_WINDOW = 256 << 10
const PIECE = 32 << 10
/** From when it is to end to its end, in ms: an agent that does not come to it is past asking. */
const END_MS = 10_000
/** Of what an agent says of a stream's end, in bytes. */
const MOST_WORDS = 4096

export type Channel = "stdout" | "stderr"

export interface OutputPiece {
  readonly channel: Channel
  readonly bytes: Uint8Array
}

/** How it ended: what ran has its status or its signal; what did not run has words. */
export type StreamEnding =
  | { readonly status: number }
  | { readonly signal: number }
  | { readonly refused: string }

/** One thing that the agent does. What it says is bounded, and nothing of it is believed of the host. */
export class AgentStream {
  /** Never rejects unhandled. Throws OVM_AGENT_UNAVAILABLE if the agent went before it was over. */
  readonly ending: Promise<StreamEnding>
  #settle: PromiseWithResolvers<StreamEnding> = Promise.withResolvers()
  #pieces: OutputPiece[] = []
  #credit = INPUT_WINDOW
  #windowLeft = OUTPUT_WINDOW
  #taken = 0
  #over = false
  /** Nobody reads what it says any more. */
  #unread = false
  /** Settles once all that was given to it before has gone in. */
  #written: Promise<unknown> = Promise.resolve()
  #wakeReader = () => {}
  #wakeWriter = () => {}

  constructor(
    readonly id: number,
    private readonly send: (frame: Uint8Array) => Promise<void>,
  ) {
    this.ending = this.#settle.promise
    this.ending.catch(() => {})
  }

  /** True once nothing more is said of it, or to it. */
  get over(): boolean {
    return this.#over
  }

  /** What it writes, until its end. The agent sends no more than is read, until that is left off. One reader. */
  async *output(): AsyncGenerator<OutputPiece> {
    try {
      for (;;) {
        const piece = this.#pieces.shift()
        if (piece) {
          this.#grant(piece.bytes.length)
          yield piece
        } else if (this.#over) return
        else
          await new Promise<void>((resolve) => {
            this.#wakeReader = resolve
          })
      }
    } finally {
      this.#drop()
    }
  }

  /** An agent cannot come to the end of what waits for a reader (OVMS-AGT-137). */
  #drop(): void {
    this.#unread = true
    for (const { bytes } of this.#pieces.splice(0)) this.#grant(bytes.length)
  }

  #grant(bytes: number): void {
    this.#taken += bytes
    if (this.#over || this.#taken < OUTPUT_WINDOW / 4) return
    this.#windowLeft += this.#taken
    void this.send(frameOf(TYPE.credit, this.id, number(this.#taken)))
    this.#taken = 0
  }

  /**
   * Input, in the order in which it is given; settles once the agent has room for it, nobody will read it any more, or
   * whoever gives it has gone.
   */
  async write(bytes: Uint8Array, signal?: AbortSignal): Promise<void> {
    const before = this.#written
    const mine = Promise.withResolvers<void>()
    this.#written = Promise.all([before, mine.promise])
    try {
      await unlessAborted(before, signal)
      await this.#write(bytes, signal)
    } finally {
      mine.resolve()
    }
  }

  async #write(bytes: Uint8Array, signal?: AbortSignal): Promise<void> {
    for (let at = 0; at < bytes.length && !this.#over && !signal?.aborted; ) {
      if (this.#credit === 0) {
        const { promise, resolve } = Promise.withResolvers<void>()
        this.#wakeWriter = resolve
        await unlessAborted(promise, signal)
        continue
      }
      const piece = bytes.subarray(at, at + Math.min(this.#credit, PIECE))
      at += piece.length
      this.#credit -= piece.length
      await this.send(frameOf(TYPE.data, this.id, piece))
    }
  }

  /** No more input. */
  async end(): Promise<void> {
    await this.#tell(TYPE.end)
  }

  /** As of kill(2), to all that belongs to it. */
  async signal(signal: number): Promise<void> {
    await this.#tell(TYPE.signal, number(signal))
  }

  async resize(rows: number, columns: number): Promise<void> {
    await this.#tell(TYPE.window, number(rows | (columns << 16)))
  }

  /** Ends it. What it has written is still to be read. */
  async close(): Promise<void> {
    await this.#tell(TYPE.close)
  }

  /** Ends it for sure. What it has written is still to be read, however long that takes. */
  kill(): void {
    void this.close()
    const timer = setInterval(() => {
      if (this.#pieces.length === 0) this.lose("it does not answer, and what it does could not be ended")
    }, END_MS).unref()
    this.ending.catch(() => {}).finally(() => clearInterval(timer))
  }

  /** Ends it for sure, and nobody reads what it says any more. */
  leave(): void {
    this.#drop()
    this.kill()
  }

  async #tell(type: number, payload: Uint8Array = new Uint8Array()): Promise<void> {
    if (!this.#over) await this.send(frameOf(type, this.id, payload))
  }

  /** What the agent says of it. Throws a sentence if that cannot be. */
  take(type: number, payload: Uint8Array): void {
    const { length } = payload
    const view = Buffer.from(payload.buffer, payload.byteOffset, length)
    if (type === TYPE.data) {
      if (length < 2 || length - 1 > this.#windowLeft) throw new Error("more than it was granted")
      this.#windowLeft -= length - 1
      if (this.#unread) this.#grant(length - 1)
      else
        this.#pieces.push({
          channel: view[0] === 2 ? "stderr" : "stdout",
          bytes: Buffer.from(view.subarray(1)),
        })
    } else if (type === TYPE.credit && length === 4) {
      const more = view.readUInt32LE()
      if (this.#credit + more > INPUT_WINDOW) throw new Error("credit for what it was not sent")
      this.#credit += more
      this.#wakeWriter()
    } else if (type === TYPE.exit && length >= 8) this.#end(view)
    else throw new Error(`a frame of type ${type} with ${length} bytes`)
    this.#wakeReader()
  }

  #end(view: Buffer): void {
    const kind = view.readUInt32LE()
    const value = view.readUInt32LE(4)
    if (kind === 0) this.#settle.resolve({ status: value & 255 })
    else if (kind === 1) this.#settle.resolve({ signal: value & 127 })
    else this.#settle.resolve({ refused: view.subarray(8, 8 + MOST_WORDS).toString() })
    this.#finish()
  }

  /** The agent has gone. */
  lose(why: string): void {
    this.#settle.reject(new OvmError("OVM_AGENT_UNAVAILABLE", `the agent went in the middle: ${why}`))
    this.#finish()
  }

  #finish(): void {
    this.#over = true
    this.#wakeWriter()
    this.#wakeReader()
  }
}

/** Settles with `what`, or once the signal is aborted. */
async function unlessAborted(what: Promise<unknown>, signal: AbortSignal | undefined): Promise<void> {
  if (!signal) return void (await what)
  const { promise, resolve } = Promise.withResolvers<void>()
  const leave = () => resolve()
  if (signal.aborted) leave()
  signal.addEventListener("abort", leave, { once: true })
  await Promise.race([what, promise])
  signal.removeEventListener("abort", leave)
}
