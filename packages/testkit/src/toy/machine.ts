import { OvmError } from "../../../ovm/src/errors.ts"
import type { Exit, Guest, Machine, MachineRecord, StopMethod } from "../../../ovm/src/vmm/machine.ts"
import { endsWithin } from "../../../ovm/src/vmm/process/ends-within.ts"
import { exitOf, reasonOf, waitForExit } from "../../../ovm/src/vmm/process/exit.ts"
import { isAlive, kill, usageOf } from "../../../ovm/src/vmm/process/identity.ts"
import type { Link } from "./link.ts"

const GRACE_MS = 10_000
const END_MS = 5000

/** A toy machine that lives. */
export class ToyMachine implements Machine {
  readonly exited: Promise<Exit>
  readonly cut: Promise<void>
  readonly #detached = new AbortController()
  #ended = false

  constructor(
    readonly record: MachineRecord,
    readonly timings: Machine["timings"],
    private readonly link: Link,
  ) {
    this.cut = link.closed
    this.exited = new Promise((resolve) => this.#watchEnd(resolve))
    link.onChange(() => this.#endPanicked())
    this.#endPanicked()
  }

  get guest(): Guest {
    return this.link.state === "running" ? { running: true } : { running: false, reason: "request" }
  }

  onGuest(listener: () => void): void {
    this.link.onChange(() => {
      this.#endPanicked()
      listener()
    })
  }

  usage() {
    return usageOf(this.record)
  }

  async pause(): Promise<void> {
    await this.#ask("pause")
  }

  async resume(): Promise<void> {
    await this.#ask("resume")
  }

  async stop({ graceMs = GRACE_MS, signal }: Parameters<Machine["stop"]>[0] = {}): Promise<StopMethod> {
    if (this.#ended || !(await isAlive(this.record))) return "already"
    if (graceMs > 0 && (await this.link.ask("button")) && (await endsWithin(this.exited, graceMs, signal)))
      return "guest"
    if ((await this.link.ask("quit")) && (await endsWithin(this.exited, END_MS, signal))) return "ended"
    await kill(this.record)
    if (await endsWithin(this.exited, END_MS, signal)) return "killed"
    throw new OvmError("OVM_VMM_TIMEOUT", `${this.record.pid} did not end`)
  }

  detach(): void {
    this.#detached.abort()
    this.link.close()
  }

  #endPanicked(): void {
    if (this.link.state === "panicked") void this.link.ask("quit")
  }

  async #watchEnd(settle: (exit: Exit) => void): Promise<void> {
    const { signal } = this.#detached
    const status = await waitForExit(this.record.directory, this.record, { hint: this.link.closed, signal })
    if (signal.aborted) return
    this.#ended = true
    settle(await exitOf(this.record, status, reasonOf(status, this.link.over)))
  }

  async #ask(word: "pause" | "resume"): Promise<void> {
    if (this.#ended || this.#detached.signal.aborted)
      throw new OvmError("OVM_STATE_CONFLICT", "the machine has ended or was let go")
    await this.link.ask(word)
  }
}
