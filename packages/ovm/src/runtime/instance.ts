import { readdir, rm } from "node:fs/promises"
import { join } from "node:path"
import type { OvmError } from "../errors.ts"
import type { Exit, Machine, MachineRecord } from "../vmm/interfaces.ts"
import type { ErrorEntry, InstanceInfo, State, StopMethod } from "./interfaces.ts"
import { createDirectory, type Lineage, writeRecord } from "./record.ts"
import { assertTransition, hasEnded } from "./states.ts"

type Patch = Partial<Omit<InstanceInfo, "instance_id" | "state">>

/** One machine from the request to its record: holds the state, keeps it on disk, and refuses what the state machine forbids. */
export class Instance {
  /** Aborts what is under way while it starts. */
  readonly starting = new AbortController()
  /** Settles once the instance has ended and its record says so. */
  readonly ended: Promise<void>
  machine: Machine | undefined
  /** How long its guest may take to power off, in ms, once a stop was asked for; what nobody said is ten seconds. */
  graceMs = 10_000
  /** Known once the image is prepared; kept on disk with the next change. */
  lineage: Lineage | undefined
  /** A snapshot is being taken and stored: settles when it is over, and its files may go. */
  snapshotting: Promise<void> | undefined
  /** What the last stop that was begun will have taken. Settles with the machine's end. */
  stopMethod: Promise<StopMethod | undefined> | undefined
  #info: InstanceInfo
  #record: MachineRecord | undefined
  #settle: () => void = () => {}
  #writing: Promise<void> = Promise.resolve()
  /** What its end leaves to be done in the directory. */
  #tidied: Promise<void> = Promise.resolve()
  #discarded = false

  constructor(
    readonly directory: string,
    info: InstanceInfo,
    record?: MachineRecord,
    lineage?: Lineage,
  ) {
    this.#info = info
    this.#record = record
    this.lineage = lineage
    this.ended = new Promise((resolve) => {
      this.#settle = resolve
    })
    if (hasEnded(info.state)) this.#settle()
  }

  /** Makes the directory and the first record. */
  async create(): Promise<void> {
    createDirectory(this.directory)
    await this.#persist()
  }

  get id(): string {
    return this.#info.instance_id
  }

  get info(): InstanceInfo {
    return this.#info
  }

  get state(): State {
    return this.#info.state
  }

  get record(): MachineRecord | undefined {
    return this.#record
  }

  /** Changes what the status says; the record says so with the next change. For what a later daemon would make nothing of. */
  note(patch: Patch): void {
    this.#info = { ...this.#info, ...patch }
  }

  /** Changes what the status says, and its record. */
  async update(patch: Patch): Promise<void> {
    this.note(patch)
    await this.#persist()
  }

  /** Throws OVM_STATE_CONFLICT if the state machine does not allow it. Once `failed` or `stopped` is on disk, `ended` settles. */
  async become(state: State, patch: Patch = {}): Promise<void> {
    assertTransition(this.#info.state, state)
    this.#info = { ...inState(this.#info, state), ...patch }
    const ended = hasEnded(state)
    if (ended) this.#info = { ...this.#info, finished: new Date().toISOString() }
    const written = this.#persist()
    if (ended) {
      this.#tidied = written.then(() => this.#dropOverlays())
      // Whoever waits for it hears of its failure; nobody has to.
      this.#tidied.catch(() => {})
    }
    await written.finally(() => ended && this.#settle())
  }

  /** Takes the launched or adopted machine, so that a later daemon finds it. */
  async attach(machine: Machine): Promise<void> {
    this.#hold(machine)
    await this.#persist()
  }

  /** The same of a machine that runs: both in one write. Throws as `become` does. */
  async enter(machine: Machine, patch: Patch): Promise<void> {
    this.#hold(machine)
    await this.become("running", patch)
  }

  /** Writes the record that `enter` would, of a machine that is just being let go: both take their time, and this is not waited for twice. */
  async foresee(record: MachineRecord, patch: Patch): Promise<void> {
    this.#record = record
    await this.#persist({ ...inState(this.#info, "running"), ...patch })
  }

  /** `enter` where `foresee` has written the record; what came to be known since is in it with the next change. */
  enterForeseen(machine: Machine, patch: Patch): void {
    assertTransition(this.#info.state, "running")
    this.#hold(machine)
    this.#info = { ...inState(this.#info, "running"), ...patch }
  }

  /** The VMM's process has ended: stopped if that was asked for or the guest's own doing, else failed. */
  async finish(exit: Exit): Promise<void> {
    if (hasEnded(this.state)) return
    this.machine = undefined
    const asked = this.state === "stopping"
    const method = asked ? await this.stopMethod : undefined
    const ended = { exit: { ...(exit.status !== undefined && { status: exit.status }), reason: exit.reason } }
    const patch = { ...ended, ...(method && { stop_method: method }) }
    if (asked || (exit.status === 0 && ORDERLY.has(exit.reason))) await this.become("stopped", patch)
    else await this.become("failed", { ...patch, error: failure(exit) })
    await this.#tidied
  }

  /** Something went wrong before it ran. */
  async fail(error: OvmError): Promise<void> {
    if (hasEnded(this.state)) return
    if (this.state === "stopping")
      await this.become("stopped", { exit: { reason: "cancelled" }, stop_method: "cancelled" })
    else await this.become("failed", { error: entryOf(error) })
    await this.#tidied
  }

  /** Removes all of it. The record goes first: a directory without one is swept by the next daemon. */
  async discard(): Promise<void> {
    // Nothing else may be at work there: what is removed by two at once can be left by both.
    this.#discarded = true
    await Promise.allSettled([this.#writing, this.#tidied])
    await rm(join(this.directory, "instance.json"), { force: true })
    await rm(this.directory, { recursive: true, force: true })
  }

  #hold(machine: Machine): void {
    this.machine = machine
    this.#record = machine.record
  }

  /** What the guest wrote goes with the machine. */
  async #dropOverlays(): Promise<void> {
    await this.snapshotting
    for (const name of await readdir(this.directory))
      if (name.startsWith("overlay")) await rm(join(this.directory, name), { force: true })
  }

  /** One write at a time, each of the newest state. */
  #persist(foreseen?: InstanceInfo): Promise<void> {
    this.#writing = this.#writing
      .catch(() => {})
      .then(() => {
        // The method of a stop, for one, may become known after the instance was removed.
        if (this.#discarded) return undefined
        return writeRecord(this.directory, {
          schema: 1,
          info: foreseen ?? this.#info,
          ...(this.#record && { machine: this.#record }),
          ...(this.lineage && { lineage: this.lineage }),
        })
      })
    return this.#writing
  }
}

/** Ends that a guest brings about by itself; "ended" is one of them, as far as anybody can know. */
const ORDERLY: ReadonlySet<string> = new Set(["guest-shutdown", "guest-reset", "ended"])

/** Phases are of a start, reasons of a pause. */
function inState({ phase: _, reason: __, ...info }: InstanceInfo, state: State): InstanceInfo {
  return { ...info, state }
}

function failure(exit: Exit): ErrorEntry {
  if (exit.reason === "guest-panic")
    return { code: "OVM_GUEST_PANICKED", message: "the guest's kernel panicked, and the machine was ended" }
  const how = exit.status === undefined ? exit.reason : `${exit.reason}, exit status ${exit.status}`
  return {
    code: "OVM_VMM_FAILED",
    message: `the VMM ended: ${how}${exit.message ? `: ${exit.message}` : ""}`,
  }
}

export function entryOf(error: OvmError): ErrorEntry {
  return {
    code: error.code,
    message: error.message,
    ...(error.detail !== undefined && { detail: error.detail }),
  }
}
