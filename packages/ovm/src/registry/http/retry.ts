import { setTimeout as sleep } from "node:timers/promises"
import type { Call } from "../../content/interfaces.ts"
import { type OvmError, toOvmError } from "../../errors.ts"
import type { HttpLimits } from "./limits.ts"

/** A failure that may pass by itself; `error` is what it means if it does not. Only `retry` lets it out of here. */
export class Transient extends Error {
  constructor(
    readonly error: OvmError,
    /** The pause that the registry asked for, in milliseconds. */
    readonly pauseMs?: number,
  ) {
    super(error.message, { cause: error })
  }
}

/** Runs `work` until it neither throws a Transient nor has used up its attempts. Throws OvmErrors only. */
export async function retry<T>(limits: HttpLimits, call: Call, work: () => Promise<T>): Promise<T> {
  const pauses = new Pauses(limits, call)
  while (true) {
    try {
      call.signal?.throwIfAborted()
      return await work()
    } catch (error) {
      await pauses.after(error)
    }
  }
}

/** Counts attempts and waits between them. */
export class Pauses {
  #failures = 0

  constructor(
    private readonly limits: HttpLimits,
    private readonly call: Call,
  ) {}

  /** Begins to count anew, because what was asked for makes progress. */
  forget(): void {
    this.#failures = 0
  }

  /** Waits before the next attempt, or throws what `error` means if there is none. */
  async after(error: unknown): Promise<void> {
    if (!(error instanceof Transient)) throw toOvmError(error)
    const last = ++this.#failures >= this.limits.attempts
    const asked = error.pauseMs ?? 0
    if (last || asked > this.limits.longestPauseMs) throw error.error
    const own = this.limits.backoffMs * 2 ** (this.#failures - 1) * (0.5 + Math.random() / 2)
    try {
      await sleep(Math.max(own, asked), undefined, { ...(this.call.signal && { signal: this.call.signal }) })
    } catch (aborted) {
      throw toOvmError(aborted)
    }
  }
}

/** The value of a Retry-After header in milliseconds: seconds or a date (RFC 9110, 10.2.3). */
export function parseRetryAfter(value: string | null, now = Date.now()): number | undefined {
  if (value === null) return undefined
  if (/^\d{1,9}$/.test(value.trim())) return Number(value) * 1000
  const date = Date.parse(value)
  return Number.isNaN(date) ? undefined : Math.max(0, date - now)
}
