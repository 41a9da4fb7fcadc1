/**
 * How long what has come is looked back on for the speed, in ms: long enough to be steady, short enough to tell of a
 * stall.
 */
const WINDOW_MS = 5000

/** How fast something gets on. Times are those of `performance.now()`, in ms. */
export class Meter {
  readonly #samples: { readonly at: number; readonly done: number }[] = []

  /**
   * `done` bytes are there, at the time `at`. What is told of first was there before: an attempt may go on with an
   * earlier one's.
   */
  note(done: number, at: number): void {
    this.#samples.push({ at, done })
    while (this.#samples.length > 2 && at - (this.#samples[1]?.at ?? at) > WINDOW_MS) this.#samples.shift()
  }

  /** Bytes a second of late; undefined where there is nothing to tell it from yet. */
  speed(at: number): number | undefined {
    const [first, last] = [this.#samples[0], this.#samples.at(-1)]
    if (!first || !last || last.done <= first.done || at <= first.at) return undefined
    return ((last.done - first.done) / (at - first.at)) * 1000
  }

  /** Seconds until all of `total` bytes are there, at that speed. */
  left(total: number, at: number): number | undefined {
    const speed = this.speed(at)
    const last = this.#samples.at(-1)
    return speed === undefined || !last ? undefined : Math.max(0, (total - last.done) / speed)
  }
}
