import { type ChildProcess, spawn } from "node:child_process"
import { type Answer, type Contact, type Order, serveOrders } from "./orders.ts"

/** The port on which everybody of a world listens, by TCP and UDP. */
export const PORT = 7000

/** What an answer may take on a busy host; and what is waited for one that must not come. */
const PATIENCE_MS = 20_000
export const SILENCE = { limitMs: 3000 }

/** A process in a namespace that speaks and listens there for the suite. */
export class Peer {
  /** Who has come, in the order of their coming. */
  readonly contacts: Contact[] = []
  readonly #open = new Map<number, (answer: Answer) => void>()
  #count = 0

  private constructor(private readonly child: ChildProcess) {
    let rest = ""
    child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      const lines = (rest + text).split("\n")
      rest = lines.pop() ?? ""
      for (const line of lines) this.#heard(JSON.parse(line))
    })
  }

  static start(inside: readonly string[]): Peer {
    const [file = "", ...args] = [...inside, process.execPath, "-e", `(${serveOrders})()`]
    const child = spawn(file, args, { stdio: ["pipe", "pipe", "inherit"] })
    child.stdin.on("error", () => {})
    return new Peer(child)
  }

  /** Throws if the process has ended. */
  order(order: Order): Promise<Answer> {
    const number = ++this.#count
    return new Promise((resolve, reject) => {
      const ended = () => reject(new Error("the suite's process in its namespace has ended"))
      this.child.once("exit", ended)
      this.#open.set(number, (answer) => {
        this.child.off("exit", ended)
        if (answer.problem === undefined) resolve(answer)
        else reject(new Error(answer.problem))
      })
      this.child.stdin?.write(`${JSON.stringify({ number, ...order })}\n`)
    })
  }

  /** Listens at these addresses: says by TCP who has come, and by both what it has heard. */
  async listen(...addresses: readonly string[]): Promise<void> {
    await this.order({ what: "listen", addresses, port: PORT })
  }

  /** Connects, says some words, and gives what it is answered within a time; undefined if nobody is there by then. */
  async ask(
    address: string,
    port: number,
    { protocol = "tcp", words = "hello\n", limitMs = PATIENCE_MS, anybody = false }: Asking = {},
  ): Promise<string | undefined> {
    return (await this.order({ what: "ask", protocol, address, port, words, limitMs, anybody })).heard
  }

  /** Who has come by now, since as many as `since` had. */
  async heardOf(since: number): Promise<readonly Contact[]> {
    await this.order({ what: "nothing" })
    return this.contacts.slice(since)
  }

  close(): void {
    this.child.kill("SIGKILL")
  }

  #heard(line: Contact | (Answer & { readonly number: number })): void {
    if ("address" in line) this.contacts.push(line)
    else this.#open.get(line.number)?.(line)
  }
}

interface Asking {
  readonly protocol?: "tcp" | "udp"
  readonly words?: string
  readonly limitMs?: number
  /** By UDP: whoever answers. */
  readonly anybody?: boolean
}
