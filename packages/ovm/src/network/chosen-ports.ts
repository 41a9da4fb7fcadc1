import { hostSide, type PortForward } from "./forward.ts"

/** Longer than it takes from the choice of a port until it is open, on a busy host too. */
const KEPT_MS = 60_000

/**
 * Free ports that were chosen for machines which are still being started: the system gives one again as soon as
 * whoever tried it has closed it.
 */
export class ChosenPorts {
  /** Until when each is kept for whom it was given to. */
  readonly #kept = new Map<string, number>()

  /** Keeps it for a minute. False if it is kept for somebody else. */
  take(forward: PortForward): boolean {
    const now = performance.now()
    for (const [port, until] of this.#kept) if (until <= now) this.#kept.delete(port)
    const port = `${hostSide(forward)}/${forward.protocol}`
    if (this.#kept.has(port)) return false
    this.#kept.set(port, now + KEPT_MS)
    return true
  }
}
