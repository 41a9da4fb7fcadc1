import { setTimeout as sleep } from "node:timers/promises"
import { OvmError } from "../../errors.ts"
import type { Exit, Guest, Machine, MachineRecord, StopMethod } from "../machine.ts"
import { endsWithin } from "../process/ends-within.ts"
import { exitOf, reasonOf, waitForExit, wasSignalled } from "../process/exit.ts"
import { isAlive, kill, usageOf } from "../process/identity.ts"
import { lastWords } from "../process/last-words.ts"
import { networkPortsOf } from "../process/network-ports.ts"
import { connectIn } from "../process/socket.ts"
import type { Adapter } from "./adapter.ts"
import { endIn, guestIn } from "./answers.ts"

const GRACE_MS = 10_000
/** Between two presses of the power button: a guest that has just booted may not listen yet. */
const PRESS_MS = 1000
/** From the end of a VMM's words to its own. */
const CLOSING_MS = 300
/** From the end of a guest that has run to that of its VMM. */
const GONE_MS = 1000
/** From its last word, or SIGKILL, to its end. */
const END_MS = 15_000
/** An adapter that has ended sooner than this is followed by another one after so long. */
const BRIEF_MS = 1000

/** A machine whose process lives, and whose adapter tells of its guest. */
export class ExecMachine implements Machine {
  readonly exited: Promise<Exit>
  readonly cut: Promise<void>
  readonly agent: Machine["agent"]
  readonly ports: Machine["ports"]
  #guest: Guest = { running: false, reason: "request" }
  #ended = false
  #listener = (): void => {}
  readonly #detached = new AbortController()
  readonly #own: { readonly directory: string; readonly own: unknown }
  readonly #cutting = Promise.withResolvers<void>()
  readonly #over = Promise.withResolvers<void>()
  readonly #hear = (told: Readonly<Record<string, unknown>>): void => {
    if (told.event === "ended") this.#over.resolve()
    else this.#become(guestIn(told))
  }

  private constructor(
    private readonly adapter: Adapter,
    readonly record: MachineRecord,
    public timings: Machine["timings"] = { spawn: 0, load: 0 },
  ) {
    const { directory, own = {} } = record
    this.#own = { directory, own: own.own }
    this.cut = this.#cutting.promise
    this.ports = networkPortsOf(directory)
    if (typeof own.agent === "string") {
      const socket = own.agent
      this.agent = () => connectIn(directory, socket)
    }
    this.exited = new Promise((resolve) => this.#watchEnd(resolve))
  }

  /** Has the adapter tell of its guest from now on. Throws what Adapter.tell throws. */
  static async watch(adapter: Adapter, record: MachineRecord): Promise<ExecMachine> {
    const machine = new ExecMachine(adapter, record)
    return await machine.#orLetGo(() => machine.#follow("watch"))
  }

  /**
   * Has the adapter start the guest of a VMM that has just been spawned, and tell of it. It may have ended by then, as
   * a short one does (OVMS-ADP-061). `timings` are asked once it has run. Throws what Adapter.tell throws.
   */
  static async start(
    adapter: Adapter,
    record: MachineRecord,
    timings: () => Machine["timings"],
  ): Promise<ExecMachine> {
    const machine = new ExecMachine(adapter, record)
    return await machine.#orLetGo(async () => {
      const isWatched = await machine.#follow("start")
      machine.timings = timings()
      if (!isWatched) await machine.#follow("watch").catch((error) => machine.#unlessEnded(error))
    })
  }

  async #orLetGo(work: () => Promise<unknown>): Promise<this> {
    try {
      await work()
      return this
    } catch (error) {
      this.detach()
      throw error
    }
  }

  /** False if the adapter has started the guest, and does not watch it for that (OVMS-ADP-062). */
  async #follow(verb: "start" | "watch"): Promise<boolean> {
    const { told, over } = await this.adapter.tell(verb, this.#own, this.#hear)
    if (verb === "start" && typeof told.running !== "boolean") return false
    this.#hear(told)
    const since = performance.now()
    void over.then(() => this.#followOn(performance.now() - since))
    return true
  }

  /** Its adapter has ended, which changes nothing about it (OVMS-ADP-021): another one watches it. */
  async #followOn(lasted: number): Promise<void> {
    const isOver = () => this.#ended || this.#detached.signal.aborted
    if (lasted < BRIEF_MS && !isOver()) await sleep(BRIEF_MS)
    if (isOver()) return
    await this.#follow("watch").catch(this.#cutting.resolve)
  }

  async #unlessEnded(error: unknown): Promise<void> {
    if ((await lastWords(this.record.directory, GONE_MS)) === undefined) throw error
  }

  get guest(): Guest {
    return this.#guest
  }

  onGuest(listener: () => void): void {
    this.#listener = listener
  }

  usage() {
    return usageOf(this.record)
  }

  async pause(): Promise<void> {
    await this.#ask("pause")
    if (this.#guest.running) this.#become({ running: false, reason: "request" })
  }

  async resume(): Promise<void> {
    await this.#ask("resume")
    this.#become({ running: true })
  }

  async stop({ graceMs = GRACE_MS, signal }: Parameters<Machine["stop"]>[0] = {}): Promise<StopMethod> {
    if (this.#ended || !(await isAlive(this.record))) return "already"
    const deadline = performance.now() + graceMs
    for (let left = graceMs; left > 0; left = deadline - performance.now()) {
      const pressed = await this.#try("press")
      // A guest that hears it at once may be gone before the adapter has its answer.
      if (await endsWithin(this.exited, pressed ? Math.min(left, PRESS_MS) : CLOSING_MS, signal))
        return "guest"
      if (!pressed) break
    }
    if ((await this.#try("quit")) && (await endsWithin(this.exited, END_MS, signal))) return "ended"
    await kill(this.record)
    if (await endsWithin(this.exited, END_MS, signal)) return "killed"
    throw new OvmError(
      "OVM_VMM_TIMEOUT",
      `${this.record.vmm} (pid ${this.record.pid}) did not end within ${END_MS} ms of SIGKILL`,
    )
  }

  detach(): void {
    this.#detached.abort()
    this.adapter.forget(this.record.directory, this.#hear)
  }

  #become(guest: Guest): void {
    const { running, reason } = this.#guest
    this.#guest = guest
    if (running !== guest.running || reason !== guest.reason) this.#listener()
  }

  async #watchEnd(settle: (exit: Exit) => void): Promise<void> {
    const { signal } = this.#detached
    const status = await waitForExit(this.record.directory, this.record, { hint: this.#over.promise, signal })
    if (signal.aborted) return
    this.#ended = true
    this.adapter.forget(this.record.directory, this.#hear)
    settle(await exitOfExec(this.adapter, this.record, status))
  }

  async #ask(verb: "pause" | "resume"): Promise<void> {
    if (this.#ended || this.#detached.signal.aborted)
      throw new OvmError(
        "OVM_STATE_CONFLICT",
        `the machine in ${this.record.directory} has ended or was let go`,
      )
    await this.adapter.askSurely(verb, this.#own)
  }

  /** False if it is not to be had: then only a signal helps. */
  async #try(verb: "press" | "quit"): Promise<boolean> {
    return await this.adapter.askSurely(verb, this.#own).then(
      () => true,
      () => false,
    )
  }
}

/** How the VMM ended, with what its adapter knows about why. */
export async function exitOfExec(
  adapter: Adapter,
  record: MachineRecord,
  status: number | undefined,
): Promise<Exit> {
  const { directory, own = {} } = record
  const how =
    status === undefined ? {} : wasSignalled(directory, status) ? { signal: status - 128 } : { status }
  const { reason, result } = await adapter
    .ask("ended", { directory, own: own.own, ...how })
    .then(endIn, () => ({}) as ReturnType<typeof endIn>)
  if (result !== undefined) return { status: result, reason: "result" }
  return await exitOf(record, status, reasonOf(status, reason))
}
