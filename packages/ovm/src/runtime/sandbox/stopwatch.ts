import { rounded } from "../../rounded.ts"
import type { SandboxTimings } from "../interfaces.ts"

type Phase = Exclude<keyof SandboxTimings, "total">

/** How long each phase takes, one after the other, in ms. */
export class Stopwatch {
  readonly #began = performance.now()
  #last = this.#began
  readonly #times = { start: 0, agent: 0, files_in: 0, command: 0, files_out: 0, end: 0 }

  /** That phase is over. */
  lap(phase: Phase): void {
    const now = performance.now()
    this.#times[phase] = rounded(now - this.#last)
    this.#last = now
  }

  times(): SandboxTimings {
    return { ...this.#times, total: rounded(this.#last - this.#began) }
  }
}
