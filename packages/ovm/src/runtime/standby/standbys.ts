import { setTimeout as sleep } from "node:timers/promises"
import { type OvmError, toOvmError } from "../../errors.ts"
import { SILENT_MS } from "../agents.ts"
import { entryOf, type Instance } from "../instance.ts"
import { isUp } from "../states.ts"
import { connectedPorts } from "./connections.ts"
import { Doorbell } from "./doorbell.ts"
import { putAside, settleStandby } from "./rest.ts"
import { goOnFromStandby, type WakeContext } from "./wake.ts"

/** Between two looks at who is talked to. */
const LOOK_MS = 1000
/** From the command that plugs a guest's network in until it has been heard of. */
const LINK_MS = 300

interface StandbysOptions extends WakeContext {
  readonly running: ReadonlyMap<string, Instance>
  /** Whether somebody is attached to its console. */
  readonly attached: (id: string) => boolean
}

/**
 * Machines that nobody talks to are put aside, and brought back by whoever does (spec/instance-states.md, "Standby").
 */
export class Standbys {
  readonly #waking = new Map<string, Promise<void>>()
  readonly #doorbells = new Map<string, Doorbell>()
  #looking: NodeJS.Timeout | undefined
  #closed = false

  constructor(private readonly options: StandbysOptions) {}

  begin(): void {
    this.#looking = setInterval(() => void this.#look().catch(() => {}), LOOK_MS).unref()
  }

  close(): void {
    this.#closed = true
    clearInterval(this.#looking)
    for (const doorbell of this.#doorbells.values()) {
      doorbell.close()
      doorbell.turnAway()
    }
  }

  /** Sees to one life of an instance from now on: nobody listens at its ports once that is over. */
  follow({ id, info, ended }: Instance): void {
    if (info.standby_after !== undefined) ended.then(() => this.#unhang(id))
  }

  /** One that an earlier daemon has put aside. Nobody wakes it before what is left of its process has been ended. */
  async recover(instance: Instance): Promise<void> {
    const over = Promise.withResolvers<void>()
    instance.snapshotting = over.promise
    try {
      await settleStandby(instance)
    } finally {
      instance.snapshotting = undefined
      over.resolve()
    }
    if (!this.#waking.has(instance.id)) await this.#hang(instance)
  }

  /**
   * Somebody talks to it: one on standby goes on, and one that is just being put there does not get there. Settles once
   * it runs. Throws what goOnFromStandby throws; then it is still on standby, or has failed.
   */
  async awake(instance: Instance): Promise<void> {
    instance.talkedAt = performance.now()
    if (instance.info.standby_after === undefined) return
    // One that is being woken is on standby no more before its guest runs.
    const { id } = instance
    const rests = () => instance.standby !== undefined || (isUp(instance.state) && this.#waking.has(id))
    if (!rests() && isUp(instance.state)) await instance.snapshotting
    if (rests()) await (this.#waking.get(id) ?? this.#wake(instance))
  }

  #wake(instance: Instance): Promise<void> {
    const { id } = instance
    const work = this.#woken(instance).finally(() => this.#waking.delete(id))
    this.#waking.set(id, work)
    return work
  }

  async #woken(instance: Instance): Promise<void> {
    const { told } = this.options
    const { id } = instance
    // One that is just being put aside may get its doorbell meanwhile.
    const doorbell = () => this.#doorbells.get(id)
    // It may be committed just now.
    await instance.snapshotting
    try {
      await goOnFromStandby(this.options, instance, () => doorbell()?.close())
      const rung = doorbell()
      this.#doorbells.delete(id)
      void this.#lead(instance, rung)
    } catch (thrown) {
      this.#unhang(id)
      told("not woken", instance, { error: entryOf(toOvmError(thrown)) })
      if (instance.standby && !this.#closed) await this.#hang(instance)
      throw thrown
    }
  }

  /** A guest with an agent has no link before it was given its clock and random bytes. */
  async #lead({ agent }: Instance, doorbell: Doorbell | undefined): Promise<void> {
    if (agent) await Promise.race([agent.settled, sleep(SILENT_MS, undefined, { ref: false })])
    await sleep(LINK_MS)
    doorbell?.lead()
  }

  /** Listens at its ports: it is on standby from then on. */
  async #hang(instance: Instance): Promise<void> {
    if (this.#closed) return
    instance.watched = false
    const doorbell = new Doorbell(() => void this.awake(instance).catch(() => {}))
    this.#doorbells.set(instance.id, doorbell)
    const failed = await doorbell.listen(instance.info.network?.ports ?? [])
    instance.watched = true
    if (!instance.standby) doorbell.close()
    const ports = failed.map(({ host, protocol }) => `${host}/${protocol}`)
    if (ports.length > 0) this.options.told("ports not watched", instance, { ports })
  }

  /** Whoever waits at its ports is turned away. */
  #unhang(id: string): void {
    const doorbell = this.#doorbells.get(id)
    doorbell?.close()
    doorbell?.turnAway()
    this.#doorbells.delete(id)
  }

  async #look(): Promise<void> {
    const watched = [...this.options.running.values()].filter(mayRest)
    if (watched.length === 0) return
    const connected = await connectedPorts()
    for (const instance of watched) {
      const { info, agent, id, talkers } = instance
      const talks =
        talkers > 0 || agent?.busy || this.options.attached(id) || isConnected(instance, connected)
      if (talks) instance.talkedAt = performance.now()
      else if (performance.now() - instance.talkedAt >= (info.standby_after ?? 0)) void this.#rest(instance)
    }
  }

  async #rest(instance: Instance): Promise<void> {
    const { told } = this.options
    try {
      await putAside(instance, async () => isConnected(instance, await connectedPorts()))
      if (!this.#waking.has(instance.id)) await this.#hang(instance)
      told("paused", instance, { reason: "standby" })
    } catch (thrown) {
      const error = toOvmError(thrown)
      // Not again each second.
      instance.talkedAt = performance.now()
      told("not put aside", instance, { error: entryOf(error) })
      if (error.code === "OVM_UNSUPPORTED") warn(instance, error)
    }
  }
}

function isConnected({ info }: Instance, connected: ReadonlySet<number>): boolean {
  return (info.network?.ports ?? []).some(({ host }) => connected.has(host))
}

function mayRest({ info, state, machine, silence, snapshotting, removing }: Instance): boolean {
  const usable = machine !== undefined && !silence && !snapshotting && !removing
  return info.standby_after !== undefined && state === "running" && usable
}

function warn(instance: Instance, { message }: OvmError): void {
  const { warnings } = instance.info
  const warning = `it is not put on standby: ${message}`
  if (!warnings.includes(warning)) instance.note({ warnings: [...warnings, warning] })
}
