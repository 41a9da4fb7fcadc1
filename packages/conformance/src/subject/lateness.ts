const STEP_MS = 50

/** By how much this host has been too late, since it was begun, for whoever was to be woken every 50 ms. */
export class Lateness {
  #milliseconds = 0
  readonly #timer: NodeJS.Timeout

  constructor() {
    let last = performance.now()
    this.#timer = setInterval(() => {
      const now = performance.now()
      this.#milliseconds += Math.max(0, now - last - STEP_MS)
      last = now
    }, STEP_MS)
  }

  get milliseconds(): number {
    return this.#milliseconds
  }

  end(): void {
    clearInterval(this.#timer)
  }
}
