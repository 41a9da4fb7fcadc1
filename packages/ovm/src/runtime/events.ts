import type { Call } from "../content/interfaces.ts"
import type { Instance } from "./instance.ts"
import type { EventsOptions, EventType, RuntimeEvent } from "./interfaces.ts"

/** So many are kept for those who come back (spec/limits.md). */
const MOST = 1024

/** What of the daemon's log others are told of (OVMS-API-230). */
const TYPES: ReadonlySet<string> = new Set<EventType>([
  "starting",
  "running",
  "paused",
  "stopping",
  "stopped",
  "failed",
  "removed",
  "snapshot",
  "unreachable",
  "reachable",
  "ports",
  "degraded",
])

/**
 * What happens to instances, for as many as want to know (spec/runtime-api.md, "GET /events"). The last ones are kept,
 * and whoever reads holds a place among them: one that is too slow misses some, and is told so.
 */
export class EventLog {
  /** Says which daemon an id is of: numbers begin anew with each. */
  readonly #daemon = crypto.randomUUID().slice(0, 8)
  readonly #kept: RuntimeEvent[] = []
  /** How many there have been before those that are kept. */
  #gone = 0
  /** When the last of those was; before there was one, when this began. */
  #goneAt = new Date().toISOString()
  #more = Promise.withResolvers<void>()

  /** Tells of `instance` what the log calls `type`; what is of no interest to others is left out. */
  tell(type: string, instance: Instance, fields: Readonly<Record<string, unknown>>): void {
    if (!TYPES.has(type)) return
    const { instance_id, name } = instance.info
    this.#kept.push({
      ...fields,
      id: this.#id(this.#gone + this.#kept.length + 1),
      time: new Date().toISOString(),
      type: type as EventType,
      instance_id,
      name,
    })
    while (this.#kept.length > MOST) {
      this.#goneAt = this.#kept.shift()?.time ?? this.#goneAt
      this.#gone++
    }
    this.#more.resolve()
    this.#more = Promise.withResolvers()
  }

  /** Those after `after`, or all that are kept; with `follow` also what comes, until `signal` is aborted. */
  async *read({ after, follow = false, signal }: EventsOptions): AsyncGenerator<RuntimeEvent> {
    const stopped = aborted(signal)
    let at = this.#placeAfter(after)
    while (!signal?.aborted) {
      if (at < this.#gone) {
        at = this.#gone
        yield { id: this.#id(at), time: this.#goneAt, type: "lost" }
      }
      const event = this.#kept[at - this.#gone]
      if (event) {
        at++
        yield event
      } else if (follow) await Promise.race([this.#more.promise, stopped])
      else return
    }
  }

  /** How many there were before the first one to read; -1 where something may have been missed. */
  #placeAfter(after: string | undefined): number {
    if (after === undefined) return this.#gone
    const [daemon, number = ""] = after.split("-")
    const at = /^\d{1,15}$/.test(number) ? Number(number) : Number.NaN
    return daemon === this.#daemon && at <= this.#gone + this.#kept.length ? at : -1
  }

  /** Of the event that is the `number`th of this daemon. */
  #id(number: number): string {
    return `${this.#daemon}-${number}`
  }
}

function aborted(signal: Call["signal"]): Promise<void> {
  return new Promise((resolve) => signal?.addEventListener("abort", () => resolve(), { once: true }))
}
