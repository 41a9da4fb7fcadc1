import { randomInt } from "node:crypto"
import type { Duplex } from "node:stream"
import { OvmError } from "../../errors.ts"
import { isObject } from "../../objects.ts"
import { callUntil } from "../agent/calling.ts"
import { CLOSED, ENDED } from "../agent/session.ts"

/** Bytes of one answer: a piece of a file (files.ts) and what is around it, with room. */
const MOST_LINE = 256 << 10
/** Before an answer to guest-sync-delimited, which can be told by it from whatever came before. */
const SENTINEL = 0xff
const NEWLINE = 0x0a
const FIRST_CALL_MS = 500
/** Shown of its words. */
const MOST_WORDS = 1000
const MOST_ID = 2 ** 47

/** What QEMU's guest agent says it cannot do. */
export class Refused extends Error {}

interface Asked {
  readonly resolve: (value: unknown) => void
  readonly reject: (error: Error) => void
}

/**
 * The line to a QEMU guest agent that has answered: one command after the other, each answered by a line of JSON.
 * Everything that it says is bounded, and nobody's word but a guest's.
 */
export class QgaChannel {
  readonly closed: Promise<string>
  readonly #asked: Asked[] = []
  #held: Buffer = Buffer.alloc(0)
  #over = false
  #close: (why: string) => void
  #synced: (() => void) | undefined

  private constructor(private readonly channel: Duplex) {
    const { promise, resolve } = Promise.withResolvers<string>()
    this.closed = promise
    this.#close = resolve
  }

  /** Calls whoever is there until it answers; undefined once the channel has ended or the call was aborted. */
  static async open(channel: Duplex, signal?: AbortSignal): Promise<QgaChannel | undefined> {
    const id = randomInt(1, MOST_ID)
    const line = new QgaChannel(channel)
    const answer = Promise.withResolvers<boolean>()
    line.#synced = () => answer.resolve(true)
    channel.on("data", (bytes: Uint8Array) => line.#read(bytes, id))
    channel.on("error", (error) => line.end(error.message))
    channel.on("close", () => line.end(CLOSED))
    signal?.addEventListener("abort", () => line.end(ENDED), { once: true })
    line.closed.then(() => answer.resolve(false))
    // The first byte ends whatever was half said to it.
    const call = Buffer.concat([Buffer.of(SENTINEL), lineOf("guest-sync-delimited", { id })])
    const answered = await callUntil(channel, call, { firstWaitMs: FIRST_CALL_MS, answer: answer.promise })
    line.#synced = undefined
    return answered ? line : undefined
  }

  /** What the command returns. Throws Refused in the agent's words, OVM_AGENT_UNAVAILABLE once it has gone. */
  async ask(command: string, values: Readonly<Record<string, unknown>> = {}): Promise<unknown> {
    if (this.#over) throw gone("it does not answer any more")
    const { promise, resolve, reject } = Promise.withResolvers<unknown>()
    this.#asked.push({ resolve, reject })
    this.channel.write(lineOf(command, values))
    return await promise
  }

  end(why: string): void {
    if (this.#over) return
    this.#over = true
    this.channel.destroy()
    this.#close(why)
    for (const { reject } of this.#asked.splice(0)) reject(gone(why))
  }

  #read(bytes: Uint8Array, id: number): void {
    this.#held = Buffer.concat([this.#held, bytes])
    for (;;) {
      const at = this.#held.indexOf(NEWLINE)
      if (this.#over || at < 0) break
      const line = this.#held.subarray(0, at)
      this.#held = this.#held.subarray(at + 1)
      this.#hear(line, id)
    }
    // Before it has answered, anything may come, and is passed over.
    if (this.#over || this.#held.length <= MOST_LINE) return
    if (this.#synced) this.#held = Buffer.alloc(0)
    else this.end("it says more than it was asked")
  }

  #hear(line: Buffer, id: number): void {
    const sentinel = line.lastIndexOf(SENTINEL)
    const said = parsed(line.subarray(sentinel + 1))
    if (sentinel >= 0) {
      if (isObject(said) && said.return === id) this.#synced?.()
      return
    }
    if (this.#synced) return
    const asked = this.#asked.shift()
    if (!asked) this.end("it answers what it was not asked")
    else if (isObject(said) && "return" in said) asked.resolve(said.return)
    else if (isObject(said) && isObject(said.error)) asked.reject(new Refused(wordsOf(said.error.desc)))
    else this.end("it says what is no answer")
  }
}

function lineOf(command: string, values: Readonly<Record<string, unknown>>): Buffer {
  return Buffer.from(`${JSON.stringify({ execute: command, arguments: values })}\n`)
}

function parsed(line: Buffer): unknown {
  try {
    return JSON.parse(line.toString())
  } catch {
    return undefined
  }
}

function wordsOf(said: unknown): string {
  return typeof said === "string" ? said.slice(0, MOST_WORDS) : "no reason is given"
}

function gone(why: string): OvmError {
  return new OvmError("OVM_AGENT_UNAVAILABLE", `the guest's QEMU guest agent has gone: ${why}`)
}
