import type { OvmError } from "../errors.ts"
import type { Agent } from "../guest/agent/agent.ts"
import type { Exit, Machine, MachineRecord } from "../vmm/machine.ts"
import { unreachable } from "../vmm/process/machine.ts"
import { endTpm } from "../vmm/tpm/process.ts"
import { entryOfExit, inState, isEnd, isOrderly } from "./ends.ts"
import type {
  ErrorEntry,
  InstanceInfo,
  StartRequest,
  State,
  StopMethod,
  VolumeUse,
  WindowSize,
} from "./interfaces.ts"
import { MOST_GRACE_MS } from "./limits.ts"
import { LostParts } from "./lost-parts.ts"
import type { Mounts } from "./mounts.ts"
import { type Patch, patched } from "./patch.ts"
import {
  createDirectory,
  type InstanceRecord,
  instanceRecord,
  type Lineage,
  removeDirectory,
  type Standby,
} from "./record.ts"
import { RecordFile } from "./record-file.ts"
import { assertTransition, hasEnded } from "./states.ts"
import { tpmState } from "./tpm.ts"
import { turned } from "./turning.ts"

/** How a change comes into the record. */
interface Change {
  /** Launched, loaded or adopted with it: a later daemon is to find it. */
  readonly machine?: Machine
  /** To be written before anybody is told, or as soon as there is room: the default. */
  readonly record?: "written" | "later"
}

/** How an instance changes its state. */
interface Becoming extends Omit<Change, "record"> {
  /** As for any change, or as `foresee` has written it. */
  readonly record?: Change["record"] | "foreseen"
}

/** A machine whose process lives and that cannot be given commands. */
export interface Silence {
  /** Why, once somebody has tried. */
  readonly error?: OvmError
  /** Settles when it can be, or has ended. */
  readonly over: Promise<unknown>
}

/** One machine from the request to its record: keeps its state, and refuses what the state machine forbids. */
export class Instance {
  /** Aborts what is under way while it starts. */
  readonly starting = new AbortController()
  /** Of a machine with the way to one. */
  agent: Agent | undefined
  /** The size of the terminal of whoever is attached. */
  window: WindowSize | undefined
  /** What its agent said that the command which it is for has ended with, 0 to 127. */
  outcome: number | undefined
  /** What that agent has made of its shares. */
  mounts: Mounts | undefined
  /** Settles once the instance has ended. */
  readonly ended: Promise<void>
  machine: Machine | undefined
  /** Set while there is a machine whose VMM cannot be asked. */
  silence: Silence | undefined
  readonly degraded = new LostParts()
  keeperWatched = false
  /** Its record cannot be read, and so is not written either. */
  unreadable: OvmError | undefined
  /** It has no record: whatever a crash leaves of it is nobody's, and swept by the next daemon. */
  transient = false
  /** True once it is being removed: nothing else is to be done about it. */
  removing = false
  /** How long its guest may take to power off, in ms, once a stop was asked for. */
  graceMs: number | undefined
  /** When that is over, in ms since 1970: kept on disk, for a daemon that comes in between. */
  stopBy: number | undefined
  /** A restart of it is under way: kept on disk, for a daemon that comes in between. */
  again: boolean
  /** Known once the image is prepared; kept on disk with the next change. */
  lineage: Lineage | undefined
  /** Gives up what is done for it alone: nobody will ask for it any more. */
  readonly removed = new AbortController()
  /** A snapshot is being taken and stored: settles when it is over, and its files may go. */
  snapshotting: Promise<void> | undefined
  /** An instant of it is being taken: whoever does that says in the end what its guest wrote to last. */
  taking = false
  /** Where its guest goes on, while it is on standby. */
  standby: Standby | undefined
  /** Whoever connects to its ports brings it back: before that it is not said to be on standby (OVMS-STA-062). */
  watched = false
  /** How many talk to it just now, and when somebody did last, as performance.now() has it. */
  talkers = 0
  talkedAt = performance.now()
  /** How many follow its console just now. */
  followers = 0
  /** Which method the last stop that was begun needed in the end. Settles with the machine's end. */
  stopMethod: Promise<StopMethod | undefined> | undefined
  /** Of an instance that has just ended: when it is started again by itself, if it is. Called once an end. */
  goesOn: ((ended: InstanceInfo) => string | undefined) | undefined
  /** As it came; kept on disk. */
  request: StartRequest | undefined
  /** Undefined where nobody can say: it may have any (OVMS-VOL-011). */
  volumes: readonly VolumeUse[] | undefined
  #info: InstanceInfo
  #record: MachineRecord | undefined
  /** Why it is being ended though it runs: what it fails with. */
  #doom: OvmError | undefined
  #settle: () => void = () => {}
  readonly #file: RecordFile

  /** `found`: what an earlier daemon, or an earlier life of it, wrote of it. */
  constructor(
    readonly directory: string,
    info: InstanceInfo,
    found?: Pick<InstanceRecord, "machine" | "lineage" | "standby" | "request" | "stopBy" | "again"> &
      Pick<Instance, "volumes">,
  ) {
    this.#info = info
    this.#record = found?.machine
    this.lineage = found?.lineage
    this.standby = found?.standby
    this.request = found?.request
    this.volumes = found?.volumes
    this.stopBy = found?.stopBy
    this.again = found?.again ?? false
    // The clock may have been set meanwhile.
    if (this.stopBy !== undefined)
      this.graceMs = Math.min(Math.max(0, this.stopBy - Date.now()), MOST_GRACE_MS)
    this.#file = new RecordFile(directory, found === undefined)
    this.ended = new Promise((resolve) => {
      this.#settle = resolve
    })
    if (hasEnded(info.state)) this.#settle()
  }

  /** Makes the directory: until there is a record, the next daemon takes it for nobody's. */
  create(): void {
    createDirectory(this.directory, this.volumes)
  }

  /** Makes the first record, for whoever is told of it next. Throws if it cannot be written. */
  async enrol(): Promise<void> {
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

  /** Whether its guest goes on from a snapshot, or from an instant of another one. */
  get resumed(): boolean {
    return this.#info.snapshot !== undefined || this.lineage?.live === true
  }

  /** Throws OVM_VMM_UNREACHABLE while its VMM cannot be asked, OVM_RECORD_UNREADABLE while nobody knows what it is. */
  assertUsable(): void {
    if (this.unreadable) throw this.unreadable
    if (this.silence && this.machine) throw this.silence.error ?? unreachable(this.machine.record)
  }

  /** Changes what the status says. The record has it with its next write: for what is of no use to a later daemon. */
  note(patch: Patch): void {
    this.#info = patched(this.#info, patch)
  }

  /**
   * Changes what the status says, and its record as soon as there is room for it. One that is to be `written` first
   * throws if it cannot be: then all of it is as it was.
   */
  async change(patch: Patch, { machine, record = "later" }: Change = {}): Promise<void> {
    const names = Object.keys(patch) as (keyof Patch)[]
    const before = Object.fromEntries(names.map((name) => [name, this.#info[name]]))
    this.note(patch)
    if (machine) this.#hold(machine)
    if (record === "later") return await this.#persistSometime()
    try {
      await this.#persist()
    } catch (thrown) {
      this.note(before)
      throw thrown
    }
  }

  /**
   * Enters `state`. Throws OVM_STATE_CONFLICT if the state machine does not allow it. What has become of a machine is
   * true whether or not it could be written down: where there is no room, the record follows later, unless it is to be
   * `written` first, which throws if it cannot be, or was `foreseen`. Once it is `failed` or `stopped`, `ended`
   * settles.
   */
  async become(state: State, patch: Patch = {}, { machine, record = "later" }: Becoming = {}): Promise<void> {
    assertTransition(this.state, state)
    this.#info = patched(inState(this.#info, state), patch)
    if (machine) this.#hold(machine)
    if (isEnd(this.#info)) this.#end()
    if (record === "written") await this.#persist()
    else if (record === "later") await this.#persistSometime()
    if (hasEnded(state)) this.#settle()
  }

  /**
   * Writes the record of a machine that is just being let go, and is going to be `running`: both take their time, and
   * this is not waited for twice. What comes to be known meanwhile is in it with the next change.
   */
  async foresee(record: MachineRecord, patch: Patch): Promise<void> {
    this.#record = record
    await this.#persist(patched(inState(this.#info, "running"), patch))
  }

  /**
   * Its guest is in files from here on, and its machine only to be ended. Throws if that cannot be written down: then
   * all is as it was.
   */
  async rest(standby: Standby): Promise<void> {
    const before = [this.#info, this.#record] as const
    this.#info = { ...inState(this.#info, "paused"), reason: "standby" }
    this.#record = undefined
    this.standby = standby
    try {
      await this.#persist()
    } catch (thrown) {
      ;[this.#info, this.#record] = before
      this.standby = undefined
      throw thrown
    }
    this.machine?.detach()
    this.agent?.close()
    this.machine = this.agent = undefined
    this.keeperWatched = false
  }

  /** Its guest is about to go on, in the machine of `record`. Throws as `rest` does. */
  async rise(record: MachineRecord): Promise<void> {
    const { standby } = this
    this.#record = record
    this.standby = undefined
    try {
      await this.#persist()
    } catch (thrown) {
      this.#record = undefined
      this.standby = standby
      throw thrown
    }
  }

  /** It runs and is going to be ended, because of `error`. */
  doom(error: OvmError): void {
    this.#doom = error
  }

  /** The VMM's process has ended: stopped if asked for or by the guest, else failed. `at`: when, if not just now. */
  async finish(exit: Exit, at = new Date()): Promise<void> {
    if (hasEnded(this.state)) return
    endTpm(tpmState(this.directory))
    if (this.lineage && !this.taking) this.lineage = turned(this.directory, this.lineage)
    this.machine = undefined
    this.silence = undefined
    const asked = this.state === "stopping"
    // What ended by itself before anything was done about it was stopped all the same: its policy has no say.
    const method = asked ? ((await this.stopMethod) ?? "already") : undefined
    const ended = { exit: { ...(exit.status !== undefined && { status: exit.status }), reason: exit.reason } }
    const finished = at.toISOString()
    const patch = { ...ended, ...(method && { stop_method: method }), finished }
    if (this.#doom) await this.become("failed", { ...patch, error: entryOf(this.#doom) })
    else if (asked || isOrderly(exit)) await this.become("stopped", patch)
    else await this.become("failed", { ...patch, error: entryOfExit(exit) })
  }

  /** Something went wrong before it ran. */
  async fail(error: OvmError): Promise<void> {
    if (hasEnded(this.state)) return
    endTpm(tpmState(this.directory))
    if (this.state === "stopping")
      await this.become("stopped", { exit: { reason: "cancelled" }, stop_method: "cancelled" })
    else await this.become("failed", { error: entryOf(error) })
  }

  /** Another life of it has begun, and writes the record from now on. */
  async retire(): Promise<void> {
    await this.#file.close()
  }

  /** Its record says what is known, if there is room for it by now. */
  async settled(): Promise<void> {
    await this.#file.lastTry()
  }

  /**
   * Removes all of it. Nothing else is at work in the directory then: what is removed by two at once can be left by
   * both.
   */
  async discard(): Promise<void> {
    endTpm(tpmState(this.directory))
    await this.#file.close()
    await removeDirectory(this.directory)
  }

  #end(): void {
    this.#info = { ...this.#info, finished: this.#info.finished ?? new Date().toISOString() }
    const restarting_at = this.goesOn?.(this.#info)
    if (restarting_at !== undefined) this.#info = { ...this.#info, restarting_at }
  }

  #hold(machine: Machine): void {
    this.machine = machine
    this.talkedAt = performance.now()
    this.#record = machine.record
    this.again = false
  }

  async #persist(foreseen?: InstanceInfo): Promise<void> {
    if (!this.unreadable && !this.transient) await this.#file.write(() => this.#written(foreseen))
  }

  async #persistSometime(): Promise<void> {
    if (!this.unreadable && !this.transient) await this.#file.writeSometime(() => this.#written())
  }

  #written(info = this.#info): InstanceRecord {
    return instanceRecord(info, this.#record, this)
  }
}

export function entryOf(error: OvmError): ErrorEntry {
  return {
    code: error.code,
    message: error.message,
    ...(error.detail !== undefined && { detail: error.detail }),
  }
}
