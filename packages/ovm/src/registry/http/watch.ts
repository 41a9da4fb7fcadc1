import type { HttpLimits } from "./limits.ts"

/** How often a stall is noticed: a part of the time that it may last. */
const TICKS = 8

export type Patience = Pick<HttpLimits, "stallMs" | "rateMs" | "slowestDownload">

/** Milliseconds after which a reader looks whether to go on waiting. */
export function tickOf({ stallMs, rateMs }: Patience): number {
  return Math.max(1, Math.min(stallMs, rateMs) / TICKS)
}

/**
 * Judges one body: it stalls when nothing comes for `stallMs`, or less than `slowestDownload` over `rateMs`. Only the
 * time spent waiting for the network counts.
 */
export class Pace {
  #silentMs = 0
  #windowMs = 0
  #bytes = 0

  constructor(private readonly limits: Patience) {}

  came(bytes: number): void {
    this.#silentMs = 0
    this.#bytes += bytes
  }

  /** Why it is to be cut off after `ms` more milliseconds of waiting; undefined if it is not. */
  waited(ms: number): string | undefined {
    const { stallMs, rateMs, slowestDownload } = this.limits
    this.#silentMs += ms
    this.#windowMs += ms
    if (this.#silentMs >= stallMs) return `nothing came for ${stallMs} ms`
    if (this.#windowMs < rateMs) return undefined
    const [bytes, time] = [this.#bytes, this.#windowMs]
    this.restart()
    return bytes * 1000 < slowestDownload * time ? `only ${bytes} bytes came in ${rateMs} ms` : undefined
  }

  /** Forgets what was, because whoever reads is slow, so that nothing can be said about whoever sends. */
  restart(): void {
    this.#silentMs = 0
    this.#windowMs = 0
    this.#bytes = 0
  }
}

/**
 * Watches over one body that is awaited: ends it, by `cut`, when it stalls. One timer a body, because a timer a read
 * would cost as much as the read itself.
 */
export class Watch implements Disposable {
  /** Why the body was cut off. */
  verdict: string | undefined
  readonly #pace: Pace
  readonly #timer: ReturnType<typeof setInterval>
  #waiting = false

  constructor(limits: Patience, cut: () => void) {
    const tick = tickOf(limits)
    this.#pace = new Pace(limits)
    this.#timer = setInterval(() => {
      if (!this.#waiting) return this.#pace.restart()
      this.verdict = this.#pace.waited(tick)
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
    this.#pace.came(bytes)
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer)
  }
}
