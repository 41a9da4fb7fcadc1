/** How long a connection may have been idle to be used again, in ms: a runtime cuts idle ones (spec/limits.md). */
const FRESH_MS = 10_000
/** After so many ms nobody has it any more. */
const GONE_MS = 60_000

/**
 * When the connections to one socket that Bun keeps were last used. It does not say which one it takes next: so one is
 * used again only if all of them are fresh. A request that meets the end of its connection might have been done or not,
 * and nobody could say.
 */
export class KeptConnections {
  /** The oldest first. */
  readonly #idle: number[] = []

  /** True if a connection that is kept may be used; else one is to be made that is not kept. `now` is in ms. */
  take(now = performance.now()): boolean {
    while (now - (this.#idle[0] ?? now) > GONE_MS) this.#idle.shift()
    if (now - (this.#idle[0] ?? now) > FRESH_MS) return false
    this.#idle.pop()
    return true
  }

  /** The answer on one that was taken has been read to its end. */
  done(now = performance.now()): void {
    this.#idle.push(now)
  }
}
