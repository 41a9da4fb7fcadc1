import { type ChildProcess, spawn } from "node:child_process"
import { randomUUID } from "node:crypto"
import { createInterface } from "node:readline"
import { type CheckCall, Failure, fail, must } from "../check.ts"
import { codes } from "../errors.ts"
import { killMarked, MARK } from "./leftovers.ts"
import { within } from "./within.ts"

/** How long an answer may take; of `start` it is more in the contract, but not with the suite's guest. */
const ANSWER_MS = 30_000
const END_MS = 10_000
const LINE_LIMIT = 1 << 20

type Members = Readonly<Record<string, unknown>>

/** What an adapter says without being asked. */
export interface AdapterEvent extends Members {
  readonly event: string
  readonly directory: string
}

/** An adapter by its program (spec/runtimes/adapter.md). */
export class Adapter {
  constructor(readonly program: string) {}

  /** Starts it, and reads its first line. Whatever it leaves is gone after the `use`. */
  async session<T>(call: CheckCall, use: (session: Session) => Promise<T>): Promise<T> {
    const mark = randomUUID()
    const child = spawn(this.program, [], {
      cwd: call.folder,
      env: { ...process.env, [MARK]: mark },
      stdio: ["pipe", "pipe", "ignore"],
      detached: true,
    })
    const session = new Session(child, mark, call.signal)
    try {
      await session.begin()
      return await use(session)
    } finally {
      child.kill("SIGKILL")
      killMarked(mark)
    }
  }
}

interface Answer {
  readonly id: number
  readonly result?: Members
  readonly error?: { readonly code: string; readonly message: string }
}

/** One process of an adapter: what it was asked, and what it said. */
export class Session {
  readonly events: AdapterEvent[] = []
  greeting: Members = {}
  /** What is wrong with a line of it. */
  #fault: string | undefined
  #greeted = false
  #ended = false
  #count = 0
  readonly #answers = new Map<number, Answer>()
  readonly #open = new Set<number>()

  constructor(
    readonly child: ChildProcess,
    readonly mark: string,
    private readonly signal: AbortSignal,
  ) {
    child.on("error", (error) => {
      this.#fault ??= `it could not be started: ${error.message}`
    })
    child.on("exit", () => {
      this.#ended = true
    })
    child.stdin?.on("error", () => {})
    if (child.stdout) createInterface({ input: child.stdout }).on("line", (line) => this.#take(line))
  }

  get ended(): boolean {
    return this.#ended
  }

  async begin(): Promise<void> {
    await this.#until("its first line", () => this.#greeted)
  }

  /** Sends a request, and returns its number. */
  send(verb: string, members: Members = {}): number {
    const id = ++this.#count
    this.#open.add(id)
    this.child.stdin?.write(`${JSON.stringify({ id, verb, ...members })}\n`)
    return id
  }

  async answer(id: number, verb: string): Promise<Answer> {
    await this.#until(`the answer to ${verb}`, () => this.#answers.has(id))
    return this.#answers.get(id) ?? { id }
  }

  /** The result of what has to go well. */
  async ask(verb: string, members: Members = {}): Promise<Members> {
    const { result, error } = await this.answer(this.send(verb, members), verb)
    if (error) fail(`${verb} was answered with ${error.code}: ${error.message}`)
    must(typeof result === "object" && result !== null, `the answer to ${verb} has neither result nor error`)
    return result
  }

  /** The error of what cannot be done: its code is one of the closed list. */
  async refused(verb: string, members: Members = {}): Promise<string> {
    const { error } = await this.answer(this.send(verb, members), verb)
    must(error, `${verb} was answered well`)
    must(typeof error.message === "string", `the error of ${verb} has no message`)
    must(codes[error.code], `${verb}: ${error.code} is not a code of spec/errors.json`)
    return error.code
  }

  async event(what: string, wanted: (event: AdapterEvent) => boolean): Promise<void> {
    await this.#until(what, () => this.events.some(wanted))
  }

  /** Closes its input, and returns once it has ended, with how many processes it left. */
  async end(): Promise<number> {
    this.child.stdin?.end()
    await within(END_MS, this.signal, "its end after that of its input", () => this.#ended)
    return killMarked(this.mark)
  }

  #take(line: string): void {
    const message = parsed(line)
    if (line.length > LINE_LIMIT) this.#fault ??= "a line of it has more than 1 MiB"
    else if (message === undefined) this.#fault ??= `a line of it is no JSON object: ${line.slice(0, 200)}`
    else if (!this.#greeted) {
      this.greeting = message
      this.#greeted = true
    } else if (typeof message.event === "string") this.events.push(message as AdapterEvent)
    else if (typeof message.id === "number" && this.#open.delete(message.id))
      this.#answers.set(message.id, message as unknown as Answer)
    else this.#fault ??= `a line of it answers nothing that was asked: ${line.slice(0, 200)}`
  }

  #until(what: string, done: () => boolean): Promise<void> {
    return within(ANSWER_MS, this.signal, what, () => {
      if (this.#fault) throw new Failure(this.#fault)
      if (done()) return true
      if (this.#ended) throw new Failure(`it ended before ${what}`)
      return false
    })
  }
}

function parsed(line: string): Members | undefined {
  try {
    const value: unknown = JSON.parse(line)
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? (value as Members)
      : undefined
  } catch {
    return undefined
  }
}
