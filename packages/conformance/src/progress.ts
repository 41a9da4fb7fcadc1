/** How far a run is, on the last line of a terminal; elsewhere only what is to be said. */
export class Progress {
  #done = 0
  readonly #shown = process.stderr.isTTY

  constructor(private readonly total: number) {}

  /** One more check has ended; `line`, if any, is what there is to say of it. */
  next(line: string | undefined): void {
    this.#done++
    const clear = this.#shown ? "\r\u001b[K" : ""
    if (line !== undefined) process.stderr.write(`${clear}${line}\n`)
    if (this.#shown) process.stderr.write(`${clear}${this.#done} of ${this.total} checks`)
  }

  end(): void {
    if (this.#shown) process.stderr.write("\r\u001b[K")
  }
}
