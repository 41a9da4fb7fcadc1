import { type ChildProcess, spawn } from "node:child_process"
import { randomUUID } from "node:crypto"
import { createInterface } from "node:readline"
import { type CheckCall, Failure, fail, must } from "../check.ts"
import { codes } from "../errors.ts"
import { Lateness } from "./lateness.ts"
import { killMarked, MARK } from "./leftovers.ts"
import { within } from "./within.ts"

/** How long an answer may take (OVMS-ADP-014). */
const [ANSWER_MS, START_MS] = [10_000, 120_000]
/** How long an event may take. */
const EVENT_MS = 15_000
const END_MS = 10_000
const LOOK_MS = 20
const LINE_LIMIT = 1 << 20
/** Numbers of requests are any that JSON's readers have in common. */
const FIRST_ID = Number.MAX_SAFE_INTEGER - 1_000_000

type Members = Readonly<Record<string, unknown>>

/** What an adapter says without being asked. */
export interface AdapterEvent extends Members {
  readonly event: string
  readonly directory: string
}

/** An adapter by its program (spec/runtimes/adapter.md). */
export class Adapter {
  constructor(readonly program: string) {}

  /** Starts it, with another PATH if one is given, and reads its first line. What it leaves is gone after `use`. */
  async session<T>(
    call: CheckCall,
    use: (session: Session) => Promise<T>,
    path = process.env.PATH,
  ): Promise<T> {
    const mark = randomUUID()
    const child = spawn(this.program, [], {
      cwd: call.folder,
      env: { ...process.env, PATH: path, [MARK]: mark },
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
  #count = FIRST_ID
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
    await this.#until("its first line", ANSWER_MS, () => this.#greeted)
  }

  /** Sends a request, and returns its number. */
  send(verb: string, members: Members = {}): number {
    const id = ++this.#count
    this.#open.add(id)
    this.child.stdin?.write(`${JSON.stringify({ id, verb, ...members })}\n`)
    return id
  }

  async answer(id: number, verb: string): Promise<Answer> {
    const limit = verb === "start" ? START_MS : ANSWER_MS
    await this.#until(`the answer to ${verb}`, limit, () => this.#answers.has(id))
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

  /** True of what was sent and has been answered. */
  hasAnswered(id: number): boolean {
    return this.#answers.has(id)
  }

  /** The first event about the machine in `directory` that is `wanted`. */
  async event(what: string, directory: string, wanted: (event: AdapterEvent) => boolean): Promise<void> {
    await this.#until(what, EVENT_MS, () =>
      this.events.some((one) => one.directory === directory && wanted(one)),
    )
  }

  /** It has told of what a guest does: that it stands still for this reason, or that it runs. */
  async told(directory: string, reason: string | undefined): Promise<void> {
    await this.event(
      reason === undefined ? "the event of the resume" : `the event of ${reason}`,
      directory,
      (one) =>
        reason === undefined
          ? one.event === "guest" && one.running === true
          : one.event === "guest" && one.running === false && one.reason === reason,
    )
  }

  async toldOfTheEnd(directory: string): Promise<void> {
    await this.event("the event of the end", directory, ({ event }) => event === "ended")
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
    else if (typeof message.id === "number" && this.#open.delete(message.id)) {
      if ("result" in message === "error" in message)
        this.#fault ??= `not one of result and error: ${line.slice(0, 200)}`
      this.#answers.set(message.id, message as unknown as Answer)
    } else this.#fault ??= `a line of it answers nothing that was asked: ${line.slice(0, 200)}`
  }

  /** Waits until it is `done`; by how much the host itself is late is given on top. */
  async #until(what: string, limitMs: number, done: () => boolean): Promise<void> {
    const late = new Lateness()
    const began = performance.now()
    try {
      for (;;) {
        const over = performance.now() - began > limitMs + late.milliseconds
        if (this.#fault) throw new Failure(this.#fault)
        if (done()) return
        if (this.#ended) throw new Failure(`it ended before ${what}`)
        must(!this.signal.aborted && !over, `${what}: not within ${limitMs / 1000} s`)
        await new Promise((resolve) => setTimeout(resolve, LOOK_MS))
      }
    } finally {
      late.end()
    }
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
