import { mkdtempSync, rmSync } from "node:fs"
import { createConnection, createServer, type Socket } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { frameOf, number, TYPE } from "../../ovm/src/guest/agent/frame.ts"

/** What is said to an OPEN of that stream, with these texts. */
type Answer = (stream: number, texts: readonly string[]) => readonly Uint8Array[]
type First = (welcome: Buffer) => readonly Uint8Array[]

/** Where programs stand in an agent's place that say what a test has them say. */
export class Impostors implements Disposable {
  readonly #folder = mkdtempSync(join(tmpdir(), "ovm-agent-"))
  #count = 0

  /**
   * The way to one that answers each HELLO as `first` says, each OPEN with what `then` makes of it, and PING if it
   * `lives`.
   */
  async connect(then: Answer, first: First = (welcome) => [welcome], lives = false) {
    const path = join(this.#folder, `${this.#count++}`)
    const server = createServer((socket) => answer(socket, first, then, lives))
    await new Promise<void>((resolve) => server.listen(path, resolve))
    const channel = createConnection({ path })
    channel.once("connect", () => server.close())
    return channel
  }

  [Symbol.dispose](): void {
    rmSync(this.#folder, { recursive: true })
  }
}

function answer(socket: Socket, first: First, then: Answer, lives: boolean): void {
  let held = Buffer.alloc(0)
  socket.on("error", () => {})
  socket.on("data", (bytes: Buffer) => {
    held = Buffer.concat([held, bytes])
    for (;;) {
      while (held.length > 0 && held[0] === 0) held = held.subarray(1)
      if (held.length < 16 || held.length < 16 + held.readUInt32LE(8)) return
      const [type, stream, length] = [0, 4, 8].map((at) => held.readUInt32LE(at)) as [number, number, number]
      const payload = held.subarray(16, 16 + length)
      held = held.subarray(16 + length)
      const said = type === TYPE.hello ? first(frameOf(TYPE.welcome, 0, payload.subarray(8))) : []
      if (lives && type === TYPE.ping) socket.write(frameOf(TYPE.pong, 0))
      for (const frame of [...said, ...(type === TYPE.open ? then(stream, textsIn(payload)) : [])])
        socket.write(frame)
    }
  })
}

const textsIn = (payload: Buffer) => payload.toString().split("\0").slice(0, -1)

export const exit = (stream: number, kind = 0, value = 0, words = "") =>
  frameOf(TYPE.exit, stream, number(kind), number(value), Buffer.from(words))
export const data = (stream: number, bytes: Uint8Array) => frameOf(TYPE.data, stream, Buffer.of(1), bytes)
