import { type OvmError, toOvmError } from "../errors.ts"
import { bootId } from "../host/boot-id.ts"
import type { Log } from "./ending.ts"
import { entryOf, type Instance } from "./instance.ts"
import { outlive } from "./outlive.ts"
import { goesOn, isUsedUp, ran, waitAfter } from "./restart-policy.ts"
import { hasEnded } from "./states.ts"

/** Longest to wait, whatever the clock says. */
const MOST_MS = 60_000

/** Starts machines again as their policies say (spec/instance-states.md, "Started again by itself"). */
export class Restarts {
  readonly #timers = new Map<string, NodeJS.Timeout>()
  /** How long each waited before its last start, in ms, by id. */
  readonly #waits = new Map<string, number>()
  #closed = false

  constructor(
    /** By id. */
    private readonly instances: ReadonlyMap<string, Instance>,
    /** Starts one that has ended; with how often that makes it. */
    private readonly again: (instance: Instance, restarts: number) => Promise<unknown>,
    private readonly log: Log,
  ) {}

  /** Sees to an instance from now on; to one that has ended, if what an earlier daemon left says so. */
  follow(instance: Instance): void {
    if (instance.info.restart === undefined) return
    instance.goesOn = (info) => {
      return goesOn(info) ? this.#next(info.instance_id, ran(info)) : undefined
    }
    if (instance.info.restarts === undefined) this.#waits.delete(instance.id)
    if (wasStoppedBeforeBoot(instance)) instance.note({ restarting_at: new Date().toISOString() })
    instance.ended.then(() => this.#wait(instance))
  }

  /** It is not started again by itself. False if it would not have been. */
  async giveUp(instance: Instance): Promise<boolean> {
    if (instance.info.restarting_at === undefined) return false
    this.#forget(instance.id)
    await instance.change({ restarting_at: undefined, stop_method: "already" })
    await outlive(instance).catch(() => {})
    return true
  }

  /** Nothing is started any more. */
  close(): void {
    this.#closed = true
    for (const timer of this.#timers.values()) clearTimeout(timer)
  }

  #forget(id: string): void {
    clearTimeout(this.#timers.get(id))
    this.#timers.delete(id)
    this.#waits.delete(id)
  }

  #wait(instance: Instance): void {
    const { restarting_at } = instance.info
    if (restarting_at === undefined) this.#waits.delete(instance.id)
    if (this.#closed || restarting_at === undefined) return
    const left = Math.min(MOST_MS, Math.max(0, Date.parse(restarting_at) - Date.now()))
    clearTimeout(this.#timers.get(instance.id))
    this.#timers.set(
      instance.id,
      setTimeout(() => void this.#try(instance).catch(() => {}), left),
    )
  }

  async #try(instance: Instance): Promise<void> {
    const { id, info } = instance
    if (this.#closed || info.restarting_at === undefined) return
    const now = this.instances.get(id)
    if (now === undefined) return this.#forget(id)
    // Somebody else starts it just now: if that is refused, this is its turn again.
    if (now !== instance) return now.state === "starting" ? this.#later(instance) : undefined
    // So does whoever goes on with a restart that an earlier daemon began.
    if (instance.again) return this.#later(instance)
    try {
      await this.again(instance, (info.restarts ?? 0) + 1)
    } catch (thrown) {
      await this.#refused(instance, toOvmError(thrown))
    }
  }

  async #refused(instance: Instance, error: OvmError): Promise<void> {
    if (instance.removing || this.instances.get(instance.id) !== instance) return
    const entry = entryOf(error)
    this.log("not started again", instance, { error: entry })
    instance.note({ restarts: (instance.info.restarts ?? 0) + 1, error: entry })
    if (isUsedUp(instance.info)) return await instance.change({ restarting_at: undefined })
    this.#later(instance)
    await instance.change({})
  }

  #later(instance: Instance): void {
    instance.note({ restarting_at: this.#next(instance.id, 0) })
    this.#wait(instance)
  }

  /** When to start one again that ran for `ranMs`. */
  #next(id: string, ranMs: number): string {
    const wait = waitAfter(ranMs, this.#waits.get(id))
    this.#waits.set(id, wait)
    return new Date(Date.now() + wait).toISOString()
  }
}

/** `always` holds for what was stopped, too, once the host has been restarted. */
function wasStoppedBeforeBoot({ info, record }: Instance): boolean {
  const { restart, state, started, stop_method } = info
  if (restart !== "always" || !hasEnded(state) || !started || stop_method === undefined) return false
  return record !== undefined && record.bootId !== bootId()
}
