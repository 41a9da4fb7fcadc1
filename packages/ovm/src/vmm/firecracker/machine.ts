import { existsSync } from "node:fs"
import { join } from "node:path"
import { OvmError } from "../../errors.ts"
import { FILTER_SOCKET } from "../../network/filter.ts"
import type { Exit, Guest, Machine, MachineRecord, StopMethod, StopOptions, Usage } from "../machine.ts"
import { type Attempt, readAttempt } from "../process/attempt.ts"
import { BringBack } from "../process/bring-back.ts"
import { endsWithin } from "../process/ends-within.ts"
import { waitForExit } from "../process/exit.ts"
import { isAlive, kill, usageOf } from "../process/identity.ts"
import { networkPortsOf } from "../process/network-ports.ts"
import type { InstantSink, SnapshotCall, SnapshotParts } from "../snapshot.ts"
import { agentOfFirecracker } from "./agent.ts"
import type { Api } from "./api.ts"
import { exitOfFirecracker, type LastAsked } from "./result.ts"
import { takeBackFirecracker } from "./snapshot/attempt.ts"
import { isWritten, monitorOf, shownNode, writtenFile, writtenFiles } from "./snapshot/disk.ts"
import { flushStorage } from "./storage.ts"
import { tellReset } from "./vsock.ts"
import { losesWire, plugIn } from "./wire.ts"

const GRACE_MS = 10_000
const PRESS_MS = 1000
/** How long a guest whose agent was asked is left to that: it may give what is at work five seconds (OVMS-AGT-070). */
const TOLD_MS = 8000
/** From SIGTERM or SIGKILL to its end: a moment, and seconds where forty of them share two processors. */
const END_MS = 15_000
/** Of one that did not answer: SIGTERM ends what lives, and nothing else waits for it. */
const CLOSING_MS = 300
/** Between two looks whether a process lives whose connection does. */
const LOOK_MS = 10_000
/** How long somebody who has a machine go on waits for it to be brought back: on a busy host that takes its time. */
const RETURN_MS = 10_000
const STATES = { Running: true, Paused: false } as const

/** A machine that runs, over a connection to its API. */
export class FirecrackerMachine implements Machine {
  readonly exited: Promise<Exit>
  readonly cut: Promise<void>
  readonly agent: Machine["agent"]
  /** Of a guest that goes on: settles once something carries its frames. */
  #carried: Promise<void> | undefined
  readonly #unlinked = Promise.withResolvers<void>()
  readonly unlinked = this.#unlinked.promise
  readonly #api: Api
  readonly #detached = new AbortController()
  #running: boolean
  /** Somebody wants it to stand still. */
  #asleep: boolean
  #ended = false
  #asked: LastAsked | undefined
  #listener = (): void => {}
  #onCut = (): void => {}
  /** There after a snapshot that failed left the machine half way. */
  #back: BringBack | undefined
  readonly #over = new AbortController()
  #snapshot: { readonly abort: AbortController; readonly done: Promise<unknown> } | undefined

  constructor(
    readonly record: MachineRecord,
    public timings: Machine["timings"],
    { api, running }: { readonly api: Api; readonly running: boolean },
  ) {
    this.#api = api
    this.#running = running
    this.#asleep = !running
    this.cut = api.closed
    this.agent = agentOfFirecracker(record)
    this.exited = new Promise((resolve) => this.#watchEnd(resolve))
    if (existsSync(join(record.directory, FILTER_SOCKET))) this.follow(Promise.resolve())
  }

  /** Its frames are carried once `carried` has settled: from then on it is looked whether they still are. */
  follow(carried: Promise<void>): void {
    this.#carried = carried
    const over = AbortSignal.any([this.#detached.signal, this.#over.signal])
    carried
      .then(() => losesWire(this.record, over))
      .then((lost) => lost && this.#unlinked.resolve())
      .catch(() => {})
  }

  /** Of one whose link is up nobody waits for it any more. */
  async linkUp(): Promise<void> {
    await this.#carried
    await plugIn(this.record.directory)
  }

  get ports(): Machine["ports"] {
    return networkPortsOf(this.record.directory, this.#carried)
  }

  /** Nobody but whoever has this connection tells the guest to stand still. */
  get guest(): Guest {
    if (this.#running) return { running: true }
    const held = this.#snapshot !== undefined || this.#standsBack
    return { running: false, reason: held && !this.#asleep ? "snapshot" : "request" }
  }

  get #standsBack(): boolean {
    return this.#back !== undefined && !this.#back.done
  }

  onGuest(listener: () => void): void {
    this.#listener = listener
  }

  onAgentCut(listener: () => void): void {
    this.#onCut = listener
  }

  async usage(): Promise<Usage | undefined> {
    return await usageOf(this.record)
  }

  async pause(): Promise<void> {
    this.#usable()
    await this.#become("Paused")
    this.#asleep = true
    await flushStorage(this.record, writtenFiles(this.record))
  }

  async resume(): Promise<void> {
    await this.#back?.settled(RETURN_MS)
    this.#usable()
    if (!this.#running && (await tellReset(this.#api, this.record))) this.#onCut()
    await this.#become("Resumed")
    this.#asleep = false
  }

  async settle(): Promise<void> {
    await this.#back?.settled()
  }

  async snapshot(into: InstantSink, { signal, onTurned }: SnapshotCall = {}): Promise<SnapshotParts> {
    this.#usable()
    const abort = new AbortController()
    const signals = signal ? AbortSignal.any([signal, abort.signal]) : abort.signal
    const taking = this.#take(into, signals)
    this.#snapshot = { abort, done: taking.catch(() => {}) }
    try {
      return await taking
    } finally {
      // It was tried once already.
      if (!this.#ended && (await readAttempt(this.record.directory)))
        this.#keepBringing(this.#bringing(onTurned))
      this.#snapshot = undefined
      this.#listener()
    }
  }

  /** Loaded where it is used: few machines are ever snapshotted. */
  async #take(into: InstantSink, signal: AbortSignal): Promise<SnapshotParts> {
    const { snapshotFirecracker } = await import("./snapshot/take.ts")
    const source = {
      ...{ record: this.record, api: this.#api, running: this.#running },
      cut: () => this.#onCut(),
      become: (state: "Paused" | "Resumed") => this.#become(state),
      takeBack: (attempt: Attempt) => this.#takeBack(attempt),
    }
    return await snapshotFirecracker(source, into, { signal })
  }

  async overlay(): Promise<string | undefined> {
    this.#usable()
    const { directory } = this.record
    if (!isWritten(this.record)) return undefined
    const qmp = await monitorOf(directory)
    try {
      return await writtenFile(qmp, await shownNode(qmp), directory)
    } finally {
      qmp.close()
    }
  }

  /** See BringBack, for a machine that has been adopted. Settles once it was tried. */
  async bringBack(): Promise<void> {
    const back = this.#bringing()
    if (!(await back.try())) this.#keepBringing(back)
  }

  #bringing(onTurned?: SnapshotCall["onTurned"]): BringBack {
    return new BringBack(this.record.directory, (attempt) => this.#takeBack(attempt, onTurned))
  }

  #keepBringing(back: BringBack): void {
    this.#back = back
    back
      .untilDone(AbortSignal.any([this.#detached.signal, this.#over.signal]))
      .finally(() => this.#listener())
      .catch(() => {})
  }

  async #takeBack(attempt: Attempt, onTurned?: SnapshotCall["onTurned"]): Promise<boolean> {
    if (attempt.running && (await tellReset(this.#api, this.record))) this.#onCut()
    const through = await takeBackFirecracker(this.#api, attempt, onTurned)
    this.#running = attempt.running
    this.#listener()
    return through
  }

  /** Lets a guest that has just been loaded go on. Throws OVM_VMM_FAILED, OVM_VMM_TIMEOUT. */
  async letGo(): Promise<void> {
    await this.#api.ask("PATCH", "/vm", { state: "Resumed" })
    this.#running = true
    this.#asleep = false
    this.#listener()
  }

  async stop({ graceMs = GRACE_MS, forgotten, told, signal }: StopOptions = {}): Promise<StopMethod> {
    // A snapshot that is being taken is given up.
    this.#snapshot?.abort.abort()
    await this.#snapshot?.done
    await this.settle()
    if (this.#ended || !(await isAlive(this.record))) return "already"
    // A guest that has just booted may not listen yet, so the keys are pressed again and again.
    const deadline = performance.now() + graceMs
    let patient = told ?? false
    for (let left = graceMs; left > 0; left = deadline - performance.now()) {
      // A paused guest cannot hear it, and one of which nobody knows which disk it writes to must not go on.
      if (this.#standsBack) break
      if (!(await this.#try(() => this.#become("Resumed")))) break
      this.#asked = "power-off"
      // A kernel that nobody has told otherwise resets at the keys, whatever its agent is about to bring to the disk.
      const asked = patient || (await this.#try(() => this.#press()))
      // A guest that hears it at once may be gone before there is an answer.
      const ms = patient ? Math.min(graceMs / 2, TOLD_MS) : PRESS_MS
      if (await endsWithin(this.exited, Math.min(left, ms), signal)) return "guest"
      if (!asked) break
      patient = false
    }
    return await this.#end(forgotten ?? false, signal)
  }

  detach(): void {
    this.#detached.abort()
    this.#api.close()
  }

  /** There is no command for it: SIGTERM is, and SIGKILL. */
  async #end(forgotten: boolean, signal: AbortSignal | undefined): Promise<StopMethod> {
    if (!forgotten) {
      const answers = await this.#try(() => this.#api.ask("GET", "/"))
      this.#asked = "quit"
      await kill(this.record, "SIGTERM")
      if (await endsWithin(this.exited, answers ? END_MS : CLOSING_MS, signal)) return "ended"
      this.#asked = undefined
    }
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
  }

  async #become(state: "Paused" | "Resumed"): Promise<void> {
    const running = state === "Resumed"
    if (running === this.#running) return
    await this.#api.ask("PATCH", "/vm", { state })
    this.#running = running
    this.#listener()
  }

  #usable(): void {
    const { directory } = this.record
    if (this.#ended || this.#detached.signal.aborted)
      throw new OvmError("OVM_STATE_CONFLICT", `the machine in ${directory} has ended or was let go`)
    if (this.#standsBack)
      throw new OvmError(
        "OVM_STATE_CONFLICT",
        `the machine in ${directory} is not back yet from a snapshot that failed: ${this.#back?.why}`,
        { hint: "it is tried again by itself" },
      )
    if (this.#snapshot)
      throw new OvmError("OVM_STATE_CONFLICT", `a snapshot of the machine in ${directory} is being taken`)
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
    this.#over.abort()
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
