import { randomBytes } from "node:crypto"
import type { Duplex } from "node:stream"
import { OvmError } from "../../errors.ts"
import { callUntil } from "./calling.ts"
import { type AgentFrame, FrameReader, frameOf, HEADER, MOST_PAYLOAD, TYPE } from "./frame.ts"
import { AgentStream } from "./stream.ts"

const MAGIC = Buffer.from("OVMAGNT1")
const NONCE = 16
/** A machine hands back no larger one (OVMS-GST-053). */
const MOST_RESULT = 127
const FIRST_CALL_MS = 200
/** Why it is over unless another reason is given. */
export const ENDED = "its machine has ended"
/** Why it is over where nobody has said so. */
export const CLOSED = "its channel was closed, as it is when its machine ends"
/** Why it is over where the VMM ended its streams while the guest stood still. */
export const CUT = "its machine was snapshotted or paused, which ends whatever its agent does"
/** Things that an agent does at once. */
const MOST_STREAMS = 200

/** A conversation with a program inside a guest that has answered, over a channel that nobody else uses. */
export interface AgentSession {
  readonly who: AgentProgram
  /** Settles when nothing can be said to the agent any more, with the reason. */
  readonly closed: Promise<string>
  /** Settles once what the machine is for has ended, with its result, 0 to 127; of an agent that says that. */
  readonly outcome?: Promise<number>
  /** Whether it does anything just now. */
  readonly busy: boolean
  /**
   * Has the agent do something (spec/agent.md, "Streams"). Throws OVM_AGENT_UNAVAILABLE, OVM_REQUEST_INVALID,
   * OVM_TOO_MANY.
   */
  do(texts: readonly string[]): AgentStream
  /** Whether the agent answers within that time, whatever it does besides. */
  answers(withinMs: number): Promise<boolean>
  /** Ends all that is under way with it. */
  close(why?: string): void
}

/** Which program it is, and of which version as far as that is known. */
export interface AgentProgram {
  readonly name: "ovm" | "qemu-guest-agent"
  readonly version?: string
}

/** Of OUTCOME (OVMS-AGT-140). Throws a sentence for what is none. */
function resultOf(payload: Uint8Array): number {
  const [result = MOST_RESULT + 1, ...more] = payload
  if (payload.length !== 4 || result > MOST_RESULT || more.some((byte) => byte !== 0))
    throw new Error("an outcome that is none")
  return result
}

/** Of the agent that the specification describes. */
export class OwnSession implements AgentSession {
  readonly who: AgentProgram = { name: "ovm" }
  readonly closed: Promise<string>
  readonly outcome: Promise<number>
  readonly #streams = new Map<number, AgentStream>()
  /** Who waits for an answer to a PING. */
  readonly #asked: ((answered: boolean) => void)[] = []
  /** Who waits for room. */
  readonly #waiting: (() => void)[] = []
  #next = 1
  #over = false
  #close: (why: string) => void
  #tellOutcome: (result: number) => void

  private constructor(
    private readonly channel: Duplex,
    private readonly reader: FrameReader,
  ) {
    const { promise, resolve } = Promise.withResolvers<string>()
    this.closed = promise
    this.#close = resolve
    const outcome = Promise.withResolvers<number>()
    this.outcome = outcome.promise
    this.#tellOutcome = outcome.resolve
  }

  /**
   * Calls whoever is at the other end until it answers; undefined once the channel has ended or the call was aborted.
   * What another host said before, and what was half said, is over by that (OVMS-AGT-010).
   */
  static async open(channel: Duplex, signal?: AbortSignal): Promise<OwnSession | undefined> {
    const nonce = randomBytes(NONCE)
    const session = new OwnSession(channel, new FrameReader(nonce))
    const welcome = Promise.withResolvers<boolean>()
    channel.on("data", (bytes: Uint8Array) => session.#read(bytes, () => welcome.resolve(true)))
    channel.on("drain", () => session.#wake())
    channel.on("error", (error) => session.#end(error.message))
    channel.on("close", () => session.#end(CLOSED))
    signal?.addEventListener("abort", () => session.close(), { once: true })
    session.closed.then(() => welcome.resolve(false))
    const hello = frameOf(TYPE.hello, 0, MAGIC, nonce)
    channel.write(new Uint8Array(HEADER + MOST_PAYLOAD))
    const answered = await callUntil(channel, hello, { firstWaitMs: FIRST_CALL_MS, answer: welcome.promise })
    return answered ? session : undefined
  }

  do(texts: readonly string[]): AgentStream {
    if (this.#over) throw new OvmError("OVM_AGENT_UNAVAILABLE", "the agent does not answer any more")
    if (texts.some((text) => text.includes("\0")))
      throw new OvmError("OVM_REQUEST_INVALID", "what the agent is asked for contains a NUL character")
    const bytes = Buffer.from(texts.map((text) => `${text}\0`).join(""))
    if (bytes.length > MOST_PAYLOAD)
      throw new OvmError(
        "OVM_REQUEST_INVALID",
        `command and environment have ${bytes.length} bytes, an agent takes ${MOST_PAYLOAD}`,
      )
    if (this.#streams.size >= MOST_STREAMS)
      throw new OvmError("OVM_TOO_MANY", `the agent does ${MOST_STREAMS} things at once, which is the limit`)
    const id = this.#next++
    const stream = new AgentStream(id, (frame) => this.#send(frame))
    this.#streams.set(id, stream)
    void this.#send(frameOf(TYPE.open, id, bytes))
    return stream
  }

  get busy(): boolean {
    return this.#streams.size > 0
  }

  async answers(withinMs: number): Promise<boolean> {
    if (this.#over) return false
    const { promise, resolve } = Promise.withResolvers<boolean>()
    this.#asked.push(resolve)
    void this.#send(frameOf(TYPE.ping, 0))
    const timer = setTimeout(() => resolve(false), withinMs)
    const answered = await promise
    clearTimeout(timer)
    return answered
  }

  close(why = ENDED): void {
    this.channel.destroy()
    this.#end(why)
  }

  /** Settles when the channel has room again, or has gone. */
  async #send(frame: Uint8Array): Promise<void> {
    if (this.#over || this.channel.write(frame)) return
    await new Promise<void>((resolve) => this.#waiting.push(resolve))
  }

  #wake(): void {
    for (const go of this.#waiting.splice(0)) go()
  }

  #read(bytes: Uint8Array, welcome: () => void): void {
    if (this.#over) return
    try {
      for (const frame of this.reader.read(bytes)) this.#take(frame, welcome)
    } catch (thrown) {
      this.channel.destroy()
      this.#end(`it said ${thrown instanceof Error ? thrown.message : thrown}`)
    }
  }

  #take({ type, stream, payload }: AgentFrame, welcome: () => void): void {
    if (type === TYPE.welcome) welcome()
    // It works off what it is told in order: one that answers late is there.
    if (type === TYPE.pong) for (const tell of this.#asked.splice(0)) tell(true)
    if (type === TYPE.restarted) throw new Error("that it has begun anew")
    if (type === TYPE.outcome) this.#tellOutcome(resultOf(payload))
    // Of one that has ended there may still be credit under way.
    const found = this.#streams.get(stream)
    found?.take(type, payload)
    if (type === TYPE.exit) this.#streams.delete(stream)
  }

  #end(why: string): void {
    if (this.#over) return
    this.#over = true
    // Whoever loses something by it asks for the next one at once.
    this.#close(why)
    for (const stream of this.#streams.values()) stream.lose(why)
    this.#streams.clear()
    for (const tell of this.#asked.splice(0)) tell(false)
    this.#wake()
  }
}
