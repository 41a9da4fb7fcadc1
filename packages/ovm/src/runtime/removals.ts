import { toOvmError } from "../errors.ts"
import type { Log } from "./ending.ts"
import { entryOf, type Instance } from "./instance.ts"
import type { InstanceInfo } from "./interfaces.ts"

/** How long one that has ended is there for whoever waits for that, and again while its console is followed, in ms. */
const LINGER_MS = 5000
/** Until one that could not be removed is tried again, in ms. */
const AGAIN_MS = 30_000

/** Removes instances with `autoRemove` once they have ended (spec/instance-states.md, "Removed by itself"). */
export class Removals {
  readonly #timers = new Set<NodeJS.Timeout>()
  #closed = false

  constructor(
    /** By id. */
    private readonly instances: ReadonlyMap<string, Instance>,
    private readonly remove: (id: string) => Promise<void>,
    private readonly log: Log,
  ) {}

  /** Sees to one life of an instance from now on, be it over or not. */
  follow(instance: Instance): void {
    if (instance.info.auto_remove) instance.ended.then(() => this.#later(instance, LINGER_MS))
  }

  /** Nothing is removed any more. */
  close(): void {
    this.#closed = true
    for (const timer of this.#timers) clearTimeout(timer)
  }

  #later(instance: Instance, ms: number): void {
    if (this.#closed) return
    const timer = setTimeout(() => {
      this.#timers.delete(timer)
      void this.#try(instance)
    }, ms).unref()
    this.#timers.add(timer)
  }

  async #try(instance: Instance): Promise<void> {
    const now = this.instances.get(instance.id)
    // Somebody starts it again just now; if that is refused, this life of it is still the one that goes.
    const busy = instance.followers > 0 || (now !== instance && now?.state === "starting")
    if (busy) return this.#later(instance, LINGER_MS)
    if (now !== instance || instance.removing || !isLeaving(instance.info)) return
    try {
      await this.remove(instance.id)
    } catch (thrown) {
      this.log("not removed", instance, { error: entryOf(toOvmError(thrown)) })
      this.#later(instance, AGAIN_MS)
    }
  }
}

/** Whether all that is left of it is to be removed; one that was made and never started has not ended. */
export function isLeaving({ auto_remove, finished }: InstanceInfo): boolean {
  return auto_remove === true && finished !== undefined
}

/** Has one that is leaving give its name up to another that wants it (OVMS-STA-046). */
export function freeName(name: string | undefined, instances: ReadonlyMap<string, Instance>): void {
  const holder = instances.values().find(({ info }) => info.name === name)
  if (holder && isLeaving(holder.info)) void holder.change({ name: holder.id })
}
