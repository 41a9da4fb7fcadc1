import { setTimeout as sleep } from "node:timers/promises"
import { OvmError } from "../../errors.ts"
import type {
  AgentWay,
  Exit,
  Guest,
  Machine,
  MachineRecord,
  StopMethod,
  StopOptions,
  Usage,
} from "../machine.ts"
import { readAttempt } from "../process/attempt.ts"
import { BringBack } from "../process/bring-back.ts"
import { endsWithin } from "../process/ends-within.ts"
import { waitForExit } from "../process/exit.ts"
import { isAlive, kill, usageOf } from "../process/identity.ts"
import type { InstantSink, SnapshotParts } from "../snapshot.ts"
import { agentOf, guestAgentOf } from "./agent.ts"
import { letGo, lookAt } from "./go.ts"
import { macIn } from "./network.ts"
import { openPortsOf } from "./ports.ts"
import type { Qmp } from "./qmp.ts"
import { exitOfQemu } from "./result.ts"
import { setLink } from "./resumed-network.ts"
import { takeBack } from "./snapshot/attempt.ts"
import { driveHere, driveOf, furtherDrivesOf } from "./snapshot/drive.ts"
import { tracedReason } from "./trace.ts"
import type { GuestWatch } from "./watch.ts"

const GRACE_MS = 10_000
const PRESS_MS = 1000
/** From its last word, or SIGKILL, to its end: a moment, and seconds where forty of them share two processors. */
const END_MS = 15_000
/** From the monitor's end to the process's. */
const CLOSING_MS = 300
/** Between two looks whether a process with a monitor lives that is connected: its end is the end of the connection. */
const LOOK_MS = 10_000
/**
 * A monitor answers within a millisecond, or seconds on a host that is far too busy; one that does not within this is
 * past asking.
 */
const ANSWER_MS = 5000
/** Within this a guest that goes on after its disk was full stands still again if it is. */
const RETRIED_MS = 200
/** How long somebody who has a machine go on waits for it to be brought back: on a busy host that takes its time. */
const RETURN_MS = 10_000

/** A running machine, over a monitor that has been negotiated. */
export class QemuMachine implements Machine {
  readonly exited: Promise<Exit>
  readonly cut: Promise<void>
  readonly unlinked: Promise<void>
  #ended = false
  /** True once the VMM of a guest that cannot go on is being ended. */
  #ending = false
  /** There after a snapshot that failed left the machine half way. */
  #back: BringBack | undefined
  readonly #over = new AbortController()
  #listener = (): void => {}
  readonly #detached = new AbortController()
  #snapshot: { readonly abort: AbortController; readonly done: Promise<unknown> } | undefined

  /** Of a guest that goes on: settles once something carries its frames. */
  carried: Promise<void> | undefined
  readonly agent: Machine["agent"]
  readonly guestAgent: Machine["guestAgent"]

  constructor(
    readonly record: MachineRecord,
    public timings: Machine["timings"],
    private readonly qmp: Qmp,
    private readonly watch: GuestWatch,
  ) {
    this.cut = qmp.closed
    this.agent = agentOf(record)
    this.guestAgent = guestAgentOf(record)
    this.unlinked = watch.unlinked
    this.exited = new Promise((resolve) => this.#watchEnd(watch, resolve))
    watch.changed = () => this.#changed()
    if (watch.over) this.#seeOut()
    else if (watch.hopeless) this.#endHopeless()
  }

  get ports(): Machine["ports"] {
    return openPortsOf(this.record, this.qmp, this.carried)
  }

  get guest(): Guest {
    const { guest } = this.watch
    const held = this.#snapshot !== undefined || this.#standsBack
    return !guest.running && guest.reason === "request" && held ? { ...guest, reason: "snapshot" } : guest
  }

  get #standsBack(): boolean {
    return this.#back !== undefined && !this.#back.done
  }

  onGuest(listener: () => void): void {
    this.#listener = listener
  }

  onAgentGone(listener: (way: AgentWay) => void): void {
    this.watch.portClosed = listener
  }

  #changed(): void {
    if (this.watch.over) this.#seeOut()
    else if (this.watch.hopeless) this.#endHopeless()
    else this.#listener()
  }

  /**
   * It panicked, or QEMU cannot go on: it stands still until it is ended. A snapshot that is under way fails by that.
   */
  async #endHopeless(): Promise<void> {
    if (this.#ending) return
    this.#ending = true
    await this.#try("quit")
    await this.#seeOut()
  }

  /**
   * Waits for the end of a QEMU that said it ends. One that was asked something at the moment of its end waits for that
   * for ever, its guest gone and its disks closed (monitor_cleanup of 7.2). A signal wakes it, and it ends with the
   * status that it would have had.
   */
  async #seeOut(): Promise<void> {
    for (const [ms, signal] of [
      [CLOSING_MS, "SIGTERM"],
      [END_MS, "SIGKILL"],
    ] as const) {
      if (await endsWithin(this.exited, ms, this.#detached.signal).catch(() => true)) return
      await kill(this.record, signal).catch(() => false)
    }
  }

  async #watchEnd(watch: GuestWatch, settle: (exit: Exit) => void): Promise<void> {
    const { signal } = this.#detached
    const status = await waitForExit(this.record.directory, this.record, {
      hint: this.qmp.closed,
      everyMs: LOOK_MS,
      signal,
    })
    // Let go of: whoever takes the machine over learns of its end.
    if (signal.aborted) return
    this.#ended = true
    this.#over.abort()
    this.qmp.close()
    const why = async () => watch.reason(status, await tracedReason(this.record, status))
    settle(await exitOfQemu(this.record, status, why))
  }

  async usage(): Promise<Usage | undefined> {
    return await usageOf(this.record)
  }

  /** See BringBack, for a machine that has been adopted. Settles once it was tried. */
  async bringBack(): Promise<void> {
    const back = this.#bringing()
    if (await back.try()) return
    this.#keepBringing(back)
  }

  #bringing(): BringBack {
    return new BringBack(this.record.directory, (attempt) => takeBack(this.qmp, attempt))
  }

  #keepBringing(back: BringBack): void {
    this.#back = back
    back
      .untilDone(AbortSignal.any([this.#detached.signal, this.#over.signal]))
      .finally(() => {
        this.#changed()
      })
      .catch(() => {})
  }

  async settle(): Promise<void> {
    await this.#back?.settled()
  }

  async linkUp(): Promise<void> {
    if (macIn(this.record.model?.devices ?? []) === undefined) return
    await this.carried
    await setLink(this.qmp, true)
  }

  async pause(): Promise<void> {
    this.#usable()
    await this.qmp.execute("stop")
    if (this.guest.running) await lookAt(this.qmp, this.watch)
  }

  async resume(): Promise<void> {
    await this.#back?.settled(RETURN_MS)
    this.#usable()
    const { reason = "request" } = this.guest
    await letGo(this.qmp, this.watch)
    if (reason === "request") return
    // What it could not write is tried again at once.
    await sleep(RETRIED_MS)
    const { running, message } = this.guest
    if (running) return
    const what = `the guest stands still again: ${message ?? this.guest.reason}`
    throw new OvmError(this.guest.reason === "disk-full" ? "OVM_NO_SPACE" : "OVM_VMM_FAILED", what)
  }

  async snapshot(
    into: InstantSink,
    { signal }: { readonly signal?: AbortSignal } = {},
  ): Promise<SnapshotParts> {
    this.#usable()
    const abort = new AbortController()
    const signals = signal ? AbortSignal.any([signal, abort.signal]) : abort.signal
    const taking = snapshotLater(this.record, this.qmp, into, signals)
    this.#snapshot = { abort, done: taking.catch(() => {}) }
    try {
      return await taking
    } catch (thrown) {
      // It was tried once already.
      if (await readAttempt(this.record.directory)) this.#keepBringing(this.#bringing())
      throw thrown
    } finally {
      this.#snapshot = undefined
      this.#changed()
    }
  }

  async overlay(): Promise<string | undefined> {
    this.#usable()
    const drive = driveHere(this.record.directory, await driveOf(this.qmp))
    return drive && !drive.readOnly ? drive.path : undefined
  }

  async furtherOverlays(): Promise<ReadonlyMap<string, string>> {
    this.#usable()
    const { directory } = this.record
    const all = [...(await furtherDrivesOf(this.qmp))]
    return new Map(all.map(([name, drive]) => [name, driveHere(directory, drive).path]))
  }

  async stop({ graceMs = GRACE_MS, forgotten, signal }: StopOptions = {}): Promise<StopMethod> {
    // A snapshot that is being taken is given up.
    this.#snapshot?.abort.abort()
    await this.#snapshot?.done
    // What a guest has written since it went on is put where it belongs first, if that is just being done.
    await this.settle()
    if (this.#ended || !(await isAlive(this.record))) return "already"
    // A guest that has just booted may not listen yet, so the button is pressed again and again.
    const deadline = performance.now() + graceMs
    for (let left = graceMs; left > 0; left = deadline - performance.now()) {
      if (!(await this.#try("system_powerdown", left))) break
      // A paused guest cannot hear it. Of one that runs QEMU is asked nothing: it may be powering off already, and a
      // QEMU that lets a guest run while it ends may hang, and would only be killed in the end.
      if (!this.guest.running) await this.#try("cont", Math.min(left, ANSWER_MS))
      if (await endsWithin(this.exited, Math.min(left, PRESS_MS), signal)) return "guest"
      if (this.watch.over) break
    }
    // The guest has heard it, and QEMU takes its time to end: it is seen out.
    if (this.watch.over && (await endsWithin(this.exited, CLOSING_MS + 2 * END_MS, signal)))
      return graceMs > 0 ? "guest" : "ended"
    if (!forgotten) {
      // No answer may also mean that QEMU ended before it came to answering.
      const answered = await this.#try("quit")
      if (await endsWithin(this.exited, answered ? END_MS : CLOSING_MS, signal)) return "ended"
    }
    await kill(this.record)
    if (await endsWithin(this.exited, END_MS, signal)) return "killed"
    throw new OvmError(
      "OVM_VMM_TIMEOUT",
      `QEMU (pid ${this.record.pid}) did not end within ${END_MS} ms of SIGKILL`,
    )
  }

  detach(): void {
    this.#detached.abort()
    this.qmp.close()
  }

  #usable(): void {
    if (this.#ended || this.#detached.signal.aborted)
      throw new OvmError(
        "OVM_STATE_CONFLICT",
        `the machine in ${this.record.directory} has ended or was let go`,
      )
    if (this.#standsBack)
      throw new OvmError(
        "OVM_STATE_CONFLICT",
        `the machine in ${this.record.directory} is not back yet from a snapshot that failed: ${this.#back?.why}`,
        { hint: "it is tried again by itself" },
      )
    if (this.#snapshot)
      throw new OvmError(
        "OVM_STATE_CONFLICT",
        `a snapshot of the machine in ${this.record.directory} is being taken`,
      )
  }

  /** False if QEMU does not answer any more: then only a signal helps. */
  async #try(command: string, ms = ANSWER_MS): Promise<boolean> {
    return await this.qmp.execute(command, undefined, ms).then(
      () => true,
      () => false,
    )
  }
}

/** Loaded where it is used: few machines are ever snapshotted. */
async function snapshotLater(
  record: MachineRecord,
  qmp: Qmp,
  into: InstantSink,
  signal: AbortSignal,
): Promise<SnapshotParts> {
  const { snapshotQemu } = await import("./snapshot/take.ts")
  return await snapshotQemu(record, qmp, into, { signal })
}
