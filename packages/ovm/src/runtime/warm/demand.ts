/** How long what was needed once counts as what is going to be needed, in ms. */
const KEPT_MS = 30_000
/** As many as POST /warm takes of one name. */
const MOST = 64

/** How many of a name are used at once. */
interface Use {
  now: number
  most: number
  /** When it was the most, as of `performance.now()`. */
  at: number
}

/** How many machines of each name were needed at once lately: by commands that have a machine of their own each. */
export class Demand {
  readonly #uses = new Map<string, Use>()

  /** One more is used, until what this gives is called. */
  begin(reference: string, at = performance.now()): () => void {
    const use = this.#uses.get(reference) ?? { now: 0, most: 0, at }
    this.#uses.set(reference, use)
    use.now++
    if (use.now >= use.most) Object.assign(use, { most: use.now, at })
    return () => {
      use.now--
    }
  }

  /** Those that are used now are not counted any more, nor is what was needed before. */
  forget(reference: string): void {
    this.#uses.delete(reference)
  }

  /** The most at once within a while before `at`; what is not needed any more is forgotten by that. */
  of(reference: string, at = performance.now()): number {
    const use = this.#uses.get(reference)
    if (!use) return 0
    if (at - use.at > KEPT_MS) Object.assign(use, { most: use.now, at })
    if (use.most === 0) this.#uses.delete(reference)
    return Math.min(use.most, MOST)
  }
}
