/** Lets work on the same key happen one after the other. */
export class Turns {
  readonly #last = new Map<string, Promise<unknown>>()

  async take<T>(key: string, work: () => Promise<T>): Promise<T> {
    const before = this.#last.get(key)
    const mine = (async () => {
      await before?.catch(() => {})
      return work()
    })()
    this.#last.set(key, mine)
    try {
      return await mine
    } finally {
      if (this.#last.get(key) === mine) this.#last.delete(key)
    }
  }
}

/** Lets many share something, or one have it alone. Whoever wants it alone comes next. */
export class Gate {
  readonly #shared = new Set<Promise<unknown>>()
  #alone: Promise<unknown> = Promise.resolve()

  async shared<T>(work: () => Promise<T>): Promise<T> {
    for (let alone: unknown; alone !== this.#alone; ) {
      alone = this.#alone
      await this.#alone
    }
    const mine = work()
    this.#shared.add(mine)
    try {
      return await mine
    } finally {
      this.#shared.delete(mine)
    }
  }

  async alone<T>(work: () => Promise<T>): Promise<T> {
    const before = this.#alone
    const mine = (async () => {
      await before
      await Promise.allSettled(this.#shared)
      return work()
    })()
    this.#alone = mine.catch(() => {})
    return mine
  }
}
