import { setTimeout as sleep } from "node:timers/promises"
import { toOvmError } from "../../errors.ts"
import { type Attempt, readAttempt } from "./attempt.ts"
import { endsWithin } from "./ends-within.ts"

const FIRST_MS = 50
const LONGEST_MS = 1000
/** How long somebody who asks for something else waits. */
const SETTLE_MS = 500

/**
 * A machine that a snapshot left half way, as where another process holds a lock on its new overlay, or its VMM did not
 * answer: brought back as soon as that can be.
 */
export class BringBack {
  /** Why it could not be, when it was last tried. */
  why = ""
  /** It is as it was. */
  done = false
  #last: Promise<boolean> = Promise.resolve(false)

  constructor(
    private readonly directory: string,
    private readonly takeBack: (attempt: Attempt) => Promise<unknown>,
  ) {}

  /** Tries at once, one after the other. True if the machine is as it was. */
  try(): Promise<boolean> {
    this.#last = this.#last.then(() => this.done || this.#once())
    return this.#last
  }

  /** Tries at once, and waits `ms` at most for what becomes of that. */
  async settled(ms = SETTLE_MS): Promise<void> {
    await endsWithin(this.try(), ms)
  }

  /** Tries again and again. Settles when it is back, or `signal` aborts. */
  async untilDone(signal: AbortSignal): Promise<void> {
    for (
      let pause = FIRST_MS;
      !signal.aborted && !(await this.try());
      pause = Math.min(2 * pause, LONGEST_MS)
    )
      await sleep(pause, undefined, { signal, ref: false }).catch(() => {})
  }

  async #once(): Promise<boolean> {
    try {
      const attempt = await readAttempt(this.directory)
      if (attempt) await this.takeBack(attempt)
      this.done = true
    } catch (thrown) {
      this.why = toOvmError(thrown).message
    }
    return this.done
  }
}
