import { type ChildProcess, spawn } from "node:child_process"
import { randomBytes, randomUUID } from "node:crypto"
import type { Duplex } from "node:stream"
import { type Frame, Frames, frameOf, TYPE, texts } from "../agent/frame.ts"
import { type CheckCall, fail, must } from "../check.ts"
import { utf8 } from "../registry/content.ts"
import { killMarked, MARK } from "./leftovers.ts"

const NOISE = 65_552
const WAIT_MS = 20_000

/** An agent by its program, whose channel is its descriptor 3 (spec/conformance.md). */
export class Agent {
  constructor(readonly program: string) {}

  /** Starts it; whatever it leaves is gone after the `use`. */
  async session<T>(call: CheckCall, use: (host: Host) => Promise<T>): Promise<T> {
    const mark = randomUUID()
    const child = spawn(this.program, [], {
      cwd: call.folder,
      env: { ...process.env, [MARK]: mark },
      stdio: ["ignore", "ignore", "ignore", "pipe"],
      detached: true,
    })
    try {
      return await use(new Host(child, call.signal))
    } finally {
      child.kill("SIGKILL")
      killMarked(mark)
    }
  }
}

/** How a stream has ended. */
export interface Exit {
  readonly kind: number
  readonly value: number
  readonly words: string
}

/** The host of one agent: what it was told, and what it said. */
export class Host {
  readonly heard: Frame[] = []
  #fault: string | undefined
  #streams = 0
  readonly #channel: Duplex

  constructor(
    child: ChildProcess,
    private readonly signal: AbortSignal,
  ) {
    this.#channel = child.stdio[3] as Duplex
    this.#channel.on("error", () => {})
    child.on("error", (error) => {
      this.#fault ??= `it could not be started: ${error.message}`
    })
    const frames = new Frames()
    this.#channel.on("data", (bytes: Buffer) => {
      try {
        this.heard.push(...frames.push(bytes).map(({ frame }) => frame))
      } catch (thrown) {
        this.#fault ??= `it says ${(thrown as Error).message}`
      }
    })
  }

  say(type: number, stream: number, ...pieces: readonly Uint8Array[]): void {
    this.raw(frameOf(type, stream, ...pieces))
  }

  raw(bytes: Uint8Array): void {
    this.#channel.write(bytes)
  }

  /** Begins, or begins anew; the payload of the WELCOME behind its nonce. */
  async hello(): Promise<Buffer> {
    const nonce = randomBytes(16)
    this.raw(Buffer.alloc(NOISE))
    this.say(TYPE.hello, 0, utf8("OVMAGNT1"), nonce)
    const isOurs = ({ type, payload }: Frame) =>
      type === TYPE.welcome && payload.subarray(0, 16).equals(nonce)
    const welcome = await this.until("it answers HELLO", () => this.heard.find(isOurs))
    return welcome.payload.subarray(16)
  }

  /** Begins a stream; its number. */
  open(...words: readonly string[]): number {
    this.say(TYPE.open, ++this.#streams, texts(...words))
    return this.#streams
  }

  of(stream: number, type: number): Frame[] {
    return this.heard.filter((one) => one.stream === stream && one.type === type)
  }

  /** What it has written so far: 1 output, 2 errors. */
  output(stream: number, channel = 1): Buffer {
    const pieces = this.of(stream, TYPE.data).filter(({ payload }) => payload[0] === channel)
    return Buffer.concat(pieces.map(({ payload }) => payload.subarray(1)))
  }

  /** The EXIT of a stream, which has to be its last frame. */
  async exit(stream: number): Promise<Exit> {
    const [frame] = await this.until("the stream ends", () => {
      const exits = this.of(stream, TYPE.exit)
      return exits.length > 0 && exits
    })
    const { payload } = frame ?? fail("there is no EXIT")
    must(payload.length >= 8, `an EXIT has a payload of ${payload.length} bytes`)
    return {
      kind: payload.readUInt32LE(0),
      value: payload.readUInt32LE(4),
      words: payload.toString("utf8", 8),
    }
  }

  /** Runs a command to its end. */
  async run(...words: readonly string[]): Promise<Exit & { readonly out: string; readonly err: string }> {
    const stream = this.open("exec", ...words)
    const exit = await this.exit(stream)
    return { ...exit, out: this.output(stream).toString(), err: this.output(stream, 2).toString() }
  }

  /** The channel ends, as if the host had gone. */
  leave(): void {
    this.#channel.destroy()
  }

  async until<T>(what: string, look: () => T | undefined | false): Promise<T> {
    const deadline = performance.now() + WAIT_MS
    for (;;) {
      const found = look()
      if (found !== undefined && found !== false) return found
      if (this.#fault !== undefined) fail(this.#fault)
      must(!this.signal.aborted && performance.now() < deadline, `${what}: not in time`)
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
  }
}

/** The words that ask for a shell's command. */
export function shell(command: string, ...more: readonly string[]): string[] {
  return ["argument=/bin/sh", "argument=-c", `argument=${command}`, ...more]
}
