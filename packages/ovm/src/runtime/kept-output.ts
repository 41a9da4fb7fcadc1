/** The first of what comes, up to so many bytes. */
export class KeptOutput {
  /** There was more. */
  more = false
  readonly #pieces: Uint8Array[] = []
  #size = 0

  constructor(private readonly limit: number) {}

  /** Gives what is kept of it. */
  add(bytes: Uint8Array): Uint8Array {
    const kept = bytes.subarray(0, this.limit - this.#size)
    this.more ||= kept.length < bytes.length
    this.#size += kept.length
    if (kept.length > 0) this.#pieces.push(kept)
    return kept
  }

  get text(): string {
    return Buffer.concat(this.#pieces).toString()
  }
}
