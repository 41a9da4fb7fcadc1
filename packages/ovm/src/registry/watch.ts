import type { Limits } from "./limits.ts"

/** How often a stall is noticed: a part of the time that it may last. */
const TICKS = 8

/**
 * Watches over one body: ends it, by `cut`, when nothing comes for `stallMs`, or less than `slowestDownload` over `rateMs`.
 * Only the time spent waiting for the network counts. One timer a body, because a timer a read would cost as much as the
 * read itself.
 */
export class Watch implements Disposable {
  /** Why the body was cut off. */
  verdict: string | undefined
  readonly #timer: ReturnType<typeof setInterval>
  #waiting = false
  #silentMs = 0
  #windowMs = 0
  #bytes = 0

  constructor(limits: Limits, cut: () => void) {
    const tick = Math.max(1, Math.min(limits.stallMs, limits.rateMs) / TICKS)
    this.#timer = setInterval(() => {
      if (!this.#waiting) return this.#restart()
      this.#silentMs += tick
      this.#windowMs += tick
      this.verdict = this.#judge(limits)
      if (this.verdict !== undefined) cut()
    }, tick)
  }

  async over<T>(read: Promise<T>): Promise<T> {
    this.#waiting = true
    try {
      return await read
    } finally {
      this.#waiting = false
    }
  }

  came(bytes: number): void {
    this.#silentMs = 0
    this.#bytes += bytes
  }

  #judge({ stallMs, rateMs, slowestDownload }: Limits): string | undefined {
    if (this.#silentMs >= stallMs) return `nothing came for ${stallMs} ms`
    if (this.#windowMs < rateMs) return undefined
    const [bytes, time] = [this.#bytes, this.#windowMs]
    this.#restart()
    return bytes * 1000 < slowestDownload * time ? `only ${bytes} bytes came in ${rateMs} ms` : undefined
  }

  // Whoever reads is slow, so nothing can be said about whoever sends.
  #restart(): void {
    this.#silentMs = 0
    this.#windowMs = 0
    this.#bytes = 0
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer)
  }
}
