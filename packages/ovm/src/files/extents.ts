/** Bytes of a blob from `start` up to, and without, `end`. */
export interface Extent {
  readonly start: number
  readonly end: number
}

/** Which bytes of a blob there are: extents in order that neither touch nor overlap. */
export class Extents {
  #list: Extent[] = []

  add({ start, end }: Extent): void {
    if (end <= start) return
    const before = this.#list.filter((extent) => extent.end < start)
    const after = this.#list.filter((extent) => extent.start > end)
    const joined = this.#list.slice(before.length, this.#list.length - after.length)
    const from = Math.min(start, joined[0]?.start ?? start)
    const to = Math.max(end, joined.at(-1)?.end ?? end)
    this.#list = [...before, { start: from, end: to }, ...after]
  }

  clear(): void {
    this.#list = []
  }

  get list(): readonly Extent[] {
    return this.#list
  }

  /** How many bytes there are from the first one on without a gap. */
  get front(): number {
    const first = this.#list[0]
    return first?.start === 0 ? first.end : 0
  }

  get total(): number {
    return this.#list.reduce((sum, { start, end }) => sum + end - start, 0)
  }

  /** What is not there of a blob of `size` bytes. */
  missing(size: number): Extent[] {
    const gaps: Extent[] = []
    let at = 0
    for (const { start, end } of [...this.#list, { start: size, end: size }]) {
      if (start > at) gaps.push({ start: at, end: start })
      at = Math.max(at, end)
    }
    return gaps
  }
}
