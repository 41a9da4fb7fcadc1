import { OvmError } from "../../errors.ts"
import type { Exit, Guest, Machine, MachineRecord, StopMethod, Usage } from "../machine.ts"
import { endsWithin } from "../process/ends-within.ts"
import { waitForExit } from "../process/exit.ts"
import { isAlive, kill, usageOf } from "../process/identity.ts"
import type { Api } from "./api.ts"
import { exitOfFirecracker, type LastAsked } from "./result.ts"
import { flushStorage } from "./storage.ts"

const GRACE_MS = 10_000
const PRESS_MS = 1000
/** From SIGTERM or SIGKILL to its end: a moment, and seconds where forty of them share two processors. */
const END_MS = 15_000
/** Of one that did not answer: SIGTERM ends what lives, and nothing else waits for it. */
const CLOSING_MS = 300
/** Between two looks whether a process lives whose connection does. */
const LOOK_MS = 10_000
const STATES = { Running: true, Paused: false } as const

/** A machine that runs, over a connection to its API. */
export class FirecrackerMachine implements Machine {
  readonly exited: Promise<Exit>
  readonly cut: Promise<void>
  readonly #api: Api
  readonly #detached = new AbortController()
  #running: boolean
  #ended = false
  #asked: LastAsked | undefined
  #listener = (): void => {}

  constructor(
    readonly record: MachineRecord,
    readonly timings: Machine["timings"],
    { api, running }: { readonly api: Api; readonly running: boolean },
  ) {
    this.#api = api
    this.#running = running
    this.cut = api.closed
    this.exited = new Promise((resolve) => this.#watchEnd(resolve))
  }

  /** Nobody but whoever has this connection tells the guest to stand still. */
  get guest(): Guest {
    return this.#running ? { running: true } : { running: false, reason: "request" }
  }

  onGuest(listener: () => void): void {
    this.#listener = listener
  }

  async usage(): Promise<Usage | undefined> {
    return await usageOf(this.record)
  }

  async pause(): Promise<void> {
    await this.#become("Paused")
    if (this.record.own?.shown && this.record.overlay !== undefined) await flushStorage(this.record)
  }

  async resume(): Promise<void> {
    await this.#become("Resumed")
  }

  async stop(
    options: { readonly graceMs?: number; readonly signal?: AbortSignal } = {},
  ): Promise<StopMethod> {
    const { graceMs = GRACE_MS, signal } = options
    if (this.#ended || !(await isAlive(this.record))) return "already"
    // A guest that has just booted may not listen yet, so the keys are pressed again and again.
    const deadline = performance.now() + graceMs
    for (let left = graceMs; left > 0; left = deadline - performance.now()) {
      // A paused guest cannot hear it.
      if (!this.#running && !(await this.#try(() => this.resume()))) break
      if (!(await this.#try(() => this.#press()))) break
      if (await endsWithin(this.exited, Math.min(left, PRESS_MS), signal)) return "guest"
    }
    return await this.#end(signal)
  }

  detach(): void {
    this.#detached.abort()
    this.#api.close()
  }

  /** There is no command for it: SIGTERM is, and SIGKILL. */
  async #end(signal: AbortSignal | undefined): Promise<StopMethod> {
    const answers = await this.#try(() => this.#api.ask("GET", "/"))
    this.#asked = "quit"
    await kill(this.record, "SIGTERM")
    if (await endsWithin(this.exited, answers ? END_MS : CLOSING_MS, signal)) return "ended"
    this.#asked = undefined
    await kill(this.record)
    if (await endsWithin(this.exited, END_MS, signal)) return "killed"
    throw new OvmError(
      "OVM_VMM_TIMEOUT",
      `Firecracker (pid ${this.record.pid}) did not end within ${END_MS} ms of SIGKILL`,
    )
  }

  /** The only thing by which a guest on x86 can be asked to power off: Ctrl-Alt-Del on its keyboard. */
  async #press(): Promise<void> {
    await this.#api.ask("PUT", "/actions", { action_type: "SendCtrlAltDel" })
    this.#asked = "power-off"
  }

  async #become(state: "Paused" | "Resumed"): Promise<void> {
    if (this.#ended || this.#detached.signal.aborted)
      throw new OvmError(
        "OVM_STATE_CONFLICT",
        `the machine in ${this.record.directory} has ended or was let go`,
      )
    const running = state === "Resumed"
    if (running === this.#running) return
    await this.#api.ask("PATCH", "/vm", { state })
    this.#running = running
    this.#listener()
  }

  async #watchEnd(settle: (exit: Exit) => void): Promise<void> {
    const { signal } = this.#detached
    const { directory } = this.record
    const status = await waitForExit(directory, this.record, {
      hint: this.#api.closed,
      everyMs: LOOK_MS,
      signal,
    })
    // Let go of: whoever takes the machine over learns of its end.
    if (signal.aborted) return
    this.#ended = true
    this.#api.close()
    settle(await exitOfFirecracker(this.record, status, this.#asked))
  }

  async #try(work: () => Promise<unknown>): Promise<boolean> {
    return await work().then(
      () => true,
      () => false,
    )
  }
}

/** Whether the guest of the VMM at the other end runs; undefined if it has none. Throws what asking throws. */
export async function isRunning(api: Api): Promise<boolean | undefined> {
  const answer = (await api.ask("GET", "/")) as { readonly state?: unknown } | undefined
  return Object.hasOwn(STATES, String(answer?.state))
    ? STATES[answer?.state as keyof typeof STATES]
    : undefined
}
