import { connect, type Socket } from "node:net"

const ANSWER_MS = 2000

/** A connection to a toy machine's process (guest.ts): words go there, states come back. */
export class Link {
  /** What the process said last. */
  state = ""
  /** Why it ended, if it said so. */
  over: string | undefined
  readonly closed: Promise<void>
  #changed = (): void => {}
  #answered = (): void => {}

  private constructor(private readonly socket: Socket) {
    this.closed = new Promise((resolve) => socket.on("close", () => resolve()))
    socket.on("error", () => {})
    socket.on("data", (bytes) => {
      for (const line of bytes.toString().split("\n").filter(Boolean)) this.#heard(line)
    })
  }

  /** Undefined if nobody listens there. */
  static open(port: number): Promise<Link | undefined> {
    return new Promise((resolve) => {
      const socket = connect(port, "127.0.0.1", () => resolve(new Link(socket)))
      socket.once("error", () => resolve(undefined))
    })
  }

  onChange(listener: () => void): void {
    this.#changed = listener
  }

  /** True once it has answered, or ended; false if it does neither within two seconds. */
  async ask(word: "look" | "pause" | "resume" | "button" | "quit"): Promise<boolean> {
    const answered = new Promise<boolean>((resolve) => {
      this.#answered = () => resolve(true)
    })
    this.socket.write(`${word}\n`)
    const timer = Promise.withResolvers<boolean>()
    const late = setTimeout(() => timer.resolve(false), ANSWER_MS)
    const result = await Promise.race([answered, this.closed.then(() => true), timer.promise])
    clearTimeout(late)
    return result
  }

  close(): void {
    this.socket.destroy()
  }

  #heard(line: string): void {
    const [word = "", reason] = line.split(" ")
    if (word === "over") this.over = reason
    else {
      const changed = this.state !== "" && this.state !== word
      this.state = word
      if (changed) this.#changed()
    }
    this.#answered()
  }
}
