import { type ChildProcess, spawn } from "node:child_process"
import { setTimeout as sleep } from "node:timers/promises"
import { type ErrorCode, isErrorCode, OvmError } from "../../errors.ts"
import { isObject } from "../../objects.ts"
import { Lines, MOST } from "./lines.ts"

type Json = Readonly<Record<string, unknown>>

/** What an adapter may take for an answer, in ms (OVMS-ADP-014). */
const [ANSWER_MS, START_MS] = [10_000, 120_000]
/** Of what it says on standard error. */
const MOST_WORDS = 2000
/** Between the end of its input and SIGKILL. */
const LEAVE_MS = 2000

/** Who is told what becomes of an adapter's machines. */
export type OnEvent = (directory: string, told: Json) => void

interface Waiting {
  readonly verb: string
  readonly settle: (result: Json) => void
  readonly fail: (error: OvmError) => void
}

/** One process of an adapter, which has said who it is. Ends with this program, or by `end`. */
export class Session {
  /** Settles once nothing can be asked any more. */
  readonly over: Promise<void>
  /** The adapter's own version. */
  version = ""
  /** True once its process has ended by itself. */
  hasLeft = false
  #fault: OvmError | undefined
  #words = ""
  #count = 0
  readonly #waiting = new Map<number, Waiting>()
  readonly #greeted = Promise.withResolvers<void>()
  readonly #lines = new Lines()

  private constructor(
    readonly name: string,
    readonly program: string,
    private readonly child: ChildProcess,
    private readonly onEvent: OnEvent,
  ) {
    this.#greeted.promise.catch(() => {})
    child.stdout?.on("data", (bytes: Buffer) => this.#heard(bytes))
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.#words = (this.#words + text).slice(-MOST_WORDS)
    })
    child.stdin?.on("error", () => {})
    child.on("error", (error) => this.#give(`it could not be started: ${error.message}`))
    this.over = new Promise((resolve) => {
      child.on("close", (status, signal) => {
        this.hasLeft = !this.isOver
        this.#give(`it ended with ${signal ?? `status ${status}`}`)
        resolve()
      })
      child.on("error", () => resolve())
    })
  }

  /**
   * Starts the adapter `program` of the VMM `name`. Throws OVM_VMM_FAILED where it says something else than it has to,
   * OVM_VMM_TIMEOUT where it says nothing.
   */
  static async open(name: string, program: string, onEvent: OnEvent): Promise<Session> {
    const child = spawn(program, [], {
      stdio: ["pipe", "pipe", "pipe"],
      cwd: "/",
      env: { PATH: process.env.PATH ?? "/usr/bin:/bin" },
    })
    const session = new Session(name, program, child, onEvent)
    await session.#within("its first line", session.#greeted.promise, ANSWER_MS)
    return session
  }

  /** True once it cannot be asked any more. */
  get isOver(): boolean {
    return this.#fault !== undefined
  }

  /**
   * What it answers. Throws what it answers as an error, OVM_VMM_FAILED and OVM_VMM_TIMEOUT where it does not, and
   * OVM_TOO_LARGE for what no adapter has to take (OVMS-ADP-063).
   */
  async ask(verb: string, members: Json = {}): Promise<Json> {
    if (this.#fault) throw this.#fault
    const id = ++this.#count
    const line = JSON.stringify({ id, verb, ...members })
    if (Buffer.byteLength(line) > MOST)
      throw new OvmError(
        "OVM_TOO_LARGE",
        `the adapter of ${this.name} would be sent more than ${MOST} bytes: ${verb}`,
      )
    const answered = Promise.withResolvers<Json>()
    this.#waiting.set(id, { verb, settle: answered.resolve, fail: answered.reject })
    this.child.stdin?.write(`${line}\n`)
    return await this.#within(verb, answered.promise, verb === "start" ? START_MS : ANSWER_MS)
  }

  /** Lets it end by itself, and kills it if it does not; false then. */
  async end(): Promise<boolean> {
    this.child.stdin?.end()
    const late = new AbortController()
    const left = this.over.then(() => true)
    const stayed = sleep(LEAVE_MS, false, { signal: late.signal }).catch(() => true)
    const ended = await Promise.race([left, stayed])
    late.abort()
    this.child.kill("SIGKILL")
    return ended
  }

  async #within<T>(what: string, answer: Promise<T>, ms: number): Promise<T> {
    const timer = setTimeout(() => {
      this.#give(`it did not answer within ${ms / 1000} s (${what})`, "OVM_VMM_TIMEOUT")
    }, ms)
    try {
      return await answer
    } finally {
      clearTimeout(timer)
    }
  }

  #heard(bytes: Uint8Array): void {
    if (this.#fault) return
    try {
      for (const line of this.#lines.take(bytes)) this.#take(line)
    } catch (error) {
      this.#give(error instanceof Error ? error.message : String(error))
    }
  }

  /** Throws for what it had not to say. */
  #take(line: Json): void {
    const isEvent = line.event === "guest" || line.event === "ended"
    if (this.version === "") this.#greet(line)
    else if (isEvent && typeof line.directory === "string") this.onEvent(line.directory, line)
    else this.#answer(line)
  }

  #answer(line: Json): void {
    const waiting = typeof line.id === "number" ? this.#waiting.get(line.id) : undefined
    if (!waiting) throw new Error(`it answered what was not asked: ${JSON.stringify(line).slice(0, 80)}`)
    if ("result" in line === "error" in line)
      throw new Error(`it answered ${waiting.verb} with no one of result and error`)
    const answer = isObject(line.error) ? this.#errorOf(line.error) : line.result
    if (answer instanceof OvmError) waiting.fail(answer)
    else if (isObject(answer)) waiting.settle(answer)
    else throw new Error(`it answered ${waiting.verb} with neither a result nor an error`)
    this.#waiting.delete(Number(line.id))
  }

  #greet({ adapter, contract, version }: Json): void {
    if (adapter !== this.name)
      throw new Error(`it says that it is ${JSON.stringify(adapter)}, not ${JSON.stringify(this.name)}`)
    if (contract !== 1) throw new Error(`it speaks contract ${JSON.stringify(contract)}, and this program 1`)
    if (typeof version !== "string" || version === "") throw new Error("it does not say its version")
    this.version = version.slice(0, 100)
    this.#greeted.resolve()
  }

  #errorOf({ code, message }: Json): OvmError {
    if (!isErrorCode(code) || typeof message !== "string")
      throw new Error(`it answered with an error that has no code of the list: ${JSON.stringify(code)}`)
    return new OvmError(code, `${this.name}: ${message.slice(0, MOST_WORDS)}`)
  }

  /** It is of no use any more, and ends. */
  #give(why: string, code: ErrorCode = "OVM_VMM_FAILED"): void {
    if (this.#fault) return
    const words = this.#words.replace(/[^\P{C}\n]/gu, "").trim()
    this.#fault = new OvmError(code, `the adapter ${this.program}: ${why}${words && `: ${words}`}`)
    this.child.kill("SIGKILL")
    this.#greeted.reject(this.#fault)
    for (const { fail } of this.#waiting.values()) fail(this.#fault)
    this.#waiting.clear()
  }
}
