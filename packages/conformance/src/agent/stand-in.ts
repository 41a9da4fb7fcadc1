import { closeSync, openSync } from "node:fs"
import { createConnection, type Socket } from "node:net"
import { basename, dirname } from "node:path"
import { type Frame, Frames, frameOf, number, TYPE, texts, textsOf } from "./frame.ts"

/** What was said to the agent. */
export interface Heard extends Frame {
  /** Zero bytes before it. */
  readonly zeros: number
  readonly at: number
}

/** How the agent answers what it is asked to do; nothing is said where it gives nothing. */
export type Manner = (words: readonly string[], stream: number, agent: StandIn) => void

/** A guest begins with the first byte. */
const BEGIN = Buffer.of(0x55)

/** Of the suite's guest, beside that of an agent (OVMS-DEV-030). */
const CONNECT = "CONNECT 20311\n"
const AGAIN_MS = 50

/** A socket that leads to a guest's port of an agent. */
export interface Way {
  readonly type: string
  readonly path: string
}

/** The agent of a machine, by a socket that leads to its port: what it does is said by `manner`. */
export class StandIn {
  readonly heard: Heard[] = []
  /** Why what the host says cannot be understood, if so. */
  fault: string | undefined
  /** Whether it answers HELLO and PING. */
  answers = true
  #frames = new Frames()
  #socket: Socket
  #closed = false
  readonly #unpacking = new Unpacking()

  private constructor(
    private readonly way: Way,
    public manner: Manner,
  ) {
    this.#socket = this.#opened()
  }

  static connect(way: Way, manner: Manner): Promise<StandIn> {
    const agent = new StandIn(way, manner)
    return way.type === "vsock" ? agent.#byVsock() : agent.#bySerial()
  }

  #opened(): Socket {
    return createConnection({ path: shortened(this.way.path) }).on("error", () => {})
  }

  #bySerial(): Promise<StandIn> {
    this.#socket.on("data", (bytes: Buffer) => this.#take(this.#unpacking.push(bytes)))
    return new Promise((resolve, reject) => {
      this.#socket.once("error", reject)
      this.#socket.once("connect", () => {
        // One that has begun already passes it on, as noise before the next HELLO.
        this.#socket.write(BEGIN)
        resolve(this)
      })
    })
  }

  /** Once the guest has taken the connection; and again each time that it is over, as with a snapshot. */
  #byVsock(): Promise<StandIn> {
    return new Promise((resolve) => {
      let head = Buffer.alloc(0)
      let taken = false
      this.#frames = new Frames()
      this.#socket.write(CONNECT)
      this.#socket.on("data", (bytes: Buffer) => {
        if (taken) return this.#take(bytes)
        head = Buffer.concat([head, bytes])
        const end = head.indexOf("\n") + 1
        taken = /^OK \d+\n/.test(head.toString("latin1"))
        if (!taken) return
        resolve(this)
        this.#take(head.subarray(end))
      })
      this.#socket.once("close", () => {
        if (this.#closed) return
        this.#ended()
        setTimeout(() => {
          if (this.#closed) return
          this.#socket = this.#opened()
          void this.#byVsock().then(resolve)
        }, AGAIN_MS)
      })
    })
  }

  /** A connection that is over is the end of all that was to come by it. */
  #ended(): void {
    const streams = new Set(this.heard.filter(({ type }) => type === TYPE.open).map(({ stream }) => stream))
    const open = [...streams].filter((stream) => this.of(stream, TYPE.end).length === 0)
    for (const stream of open)
      this.heard.push({ type: TYPE.end, stream, payload: Buffer.alloc(0), zeros: 0, at: performance.now() })
  }

  /** The OPENs that it heard, by their first text. */
  opened(what: string): (Heard & { readonly words: readonly string[] })[] {
    const opens = this.heard.filter(({ type }) => type === TYPE.open)
    return opens
      .map((one) => ({ ...one, words: textsOf(one.payload) }))
      .filter(({ words }) => words[0] === what)
  }

  of(stream: number, type: number): Heard[] {
    return this.heard.filter((one) => one.stream === stream && one.type === type)
  }

  say(type: number, stream: number, ...pieces: readonly Uint8Array[]): void {
    this.raw(frameOf(type, stream, ...pieces))
  }

  raw(bytes: Uint8Array): void {
    this.#socket.write(this.way.type === "vsock" ? bytes : packed(bytes))
  }

  output(stream: number, text: string | Uint8Array, channel = 1): void {
    this.say(TYPE.data, stream, Buffer.of(channel), Buffer.from(text))
  }

  exit(stream: number, value = 0, kind = 0, words = ""): void {
    this.say(TYPE.exit, stream, number(kind), number(value), Buffer.from(words))
  }

  close(): void {
    this.#closed = true
    this.#socket.destroy()
  }

  #take(bytes: Buffer): void {
    try {
      for (const { frame, zeros } of this.#frames.push(bytes)) {
        this.heard.push({ ...frame, zeros, at: performance.now() })
        this.#answer(frame)
      }
    } catch (thrown) {
      // Before the first HELLO it is the rest of what was said in the life that a clone or a child goes on from.
      if (this.heard.length > 0) this.fault ??= (thrown as Error).message
      this.#frames = new Frames()
    }
  }

  #answer({ type, stream, payload }: Frame): void {
    if (!this.answers) return
    if (type === TYPE.hello)
      this.say(
        TYPE.welcome,
        0,
        payload.subarray(8),
        texts("protocol=1", "features=exec read write hooks freeze console mount root"),
      )
    if (type === TYPE.ping) this.say(TYPE.pong, 0, payload)
    if (type === TYPE.open) this.manner(textsOf(payload), stream, this)
  }
}

/** The guest says of zeros how many there are. */
export class Unpacking {
  /** A zero byte whose number has not come yet. */
  #zero = false

  push(bytes: Uint8Array): Buffer {
    const pieces = []
    for (let at = 0; at < bytes.length; at++) {
      if (this.#zero) pieces.push(Buffer.alloc(bytes[at] ?? 0))
      else if (bytes[at] !== 0) pieces.push(bytes.subarray(at, at + 1))
      this.#zero = !this.#zero && bytes[at] === 0
    }
    return Buffer.concat(pieces)
  }
}

/** Another path of a socket whose own is longer than the system takes (unix(7)). */
export function shortened(path: string): string {
  if (path.length < 100) return path
  const folder = openSync(dirname(path), "r")
  setTimeout(() => closeSync(folder), 10_000).unref()
  return `/proc/self/fd/${folder}/${basename(path)}`
}

/** The guest is told of zeros how many there are as well. */
export function packed(bytes: Uint8Array): Buffer {
  const out = []
  for (let at = 0; at < bytes.length; at++) {
    let zeros = 0
    while (zeros < 255 && at + zeros < bytes.length && bytes[at + zeros] === 0) zeros++
    out.push(bytes[at] ?? 0)
    if (zeros > 0) out.push(zeros)
    at += Math.max(0, zeros - 1)
  }
  return Buffer.from(out)
}
