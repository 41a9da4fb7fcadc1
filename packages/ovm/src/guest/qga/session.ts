import type { Duplex } from "node:stream"
import { OvmError } from "../../errors.ts"
import { number, TYPE } from "../agent/frame.ts"
import { type AgentProgram, type AgentSession, ENDED } from "../agent/session.ts"
import { AgentStream } from "../agent/stream.ts"
import { QgaChannel, Refused } from "./channel.ts"
import { doByQga, greet } from "./do.ts"
import { StreamEnd } from "./stream-end.ts"

const MOST_STREAMS = 20
const KINDS = { status: 0, signal: 1 } as const
const REFUSED = 2

/**
 * A conversation with QEMU's guest agent in the words of ours, as far as it can do what they say (spec/agent.md,
 * "Guests with another agent").
 */
export class QgaSession implements AgentSession {
  readonly closed: Promise<string>
  readonly #streams = new Map<number, { readonly stream: AgentStream; readonly end: StreamEnd }>()
  #next = 1
  #over = false

  private constructor(
    private readonly line: QgaChannel,
    readonly who: AgentProgram,
  ) {
    this.closed = line.closed
    line.closed.then((why) => {
      this.#over = true
      for (const { stream, end } of this.#streams.values()) {
        end.abort()
        stream.lose(why)
      }
      this.#streams.clear()
    })
  }

  /** Calls it until it answers; undefined once the channel has ended, the call was aborted, or it makes no sense. */
  static async open(channel: Duplex, signal?: AbortSignal): Promise<QgaSession | undefined> {
    const line = await QgaChannel.open(channel, signal)
    if (!line) return undefined
    try {
      const version = await greet(line)
      return new QgaSession(line, { name: "qemu-guest-agent", ...(version !== undefined && { version }) })
    } catch {
      line.end("it does not say who it is")
      return undefined
    }
  }

  get busy(): boolean {
    return this.#streams.size > 0
  }

  do(texts: readonly string[]): AgentStream {
    if (this.#over) throw new OvmError("OVM_AGENT_UNAVAILABLE", "the agent does not answer any more")
    if (texts.some((text) => text.includes("\0")))
      throw new OvmError("OVM_REQUEST_INVALID", "what the agent is asked for contains a NUL character")
    if (this.#streams.size >= MOST_STREAMS)
      throw new OvmError(
        "OVM_TOO_MANY",
        `QEMU's guest agent does ${MOST_STREAMS} things at once, which is the limit`,
      )
    const id = this.#next++
    const end = new StreamEnd()
    const stream = new AgentStream(id, async (frame) => end.hear(frame))
    end.serves(stream)
    this.#streams.set(id, { stream, end })
    void this.#see(id, texts)
    return stream
  }

  async answers(withinMs: number): Promise<boolean> {
    if (this.#over) return false
    const { promise, resolve } = Promise.withResolvers<boolean>()
    const timer = setTimeout(() => resolve(false), withinMs)
    this.line.ask("guest-ping").then(
      () => resolve(true),
      (thrown) => resolve(thrown instanceof Refused),
    )
    const answered = await promise
    clearTimeout(timer)
    return answered
  }

  close(why = ENDED): void {
    this.line.end(why)
  }

  async #see(id: number, texts: readonly string[]): Promise<void> {
    const found = this.#streams.get(id)
    if (!found) return
    const { stream, end } = found
    const exit = (kind: number, value: number, words = "") => {
      if (this.#streams.delete(id))
        stream.take(TYPE.exit, Buffer.concat([number(kind), number(value), Buffer.from(words)]))
    }
    try {
      const { kind, value } = await doByQga({ line: this.line, texts, end })
      exit(KINDS[kind], value)
    } catch (thrown) {
      exit(REFUSED, 0, thrown instanceof Error ? thrown.message : String(thrown))
    }
  }
}
