/** Where warnings go; each of one registry comes once. */
export type OnWarning = (host: string, text: string) => void

const LIMIT = 20
const LENGTH = 500

/**
 * The warnings that registries attach to answers (distribution-spec: "Warnings"). They are shown and never acted on.
 */
export class Warnings {
  readonly #seen = new Set<string>()

  constructor(
    private readonly host: string,
    private readonly onWarning: OnWarning,
  ) {}

  /**
   * Passes on what the header `Warning` says with code 299; a registry that has more than 20 to say is not listened to
   * further.
   */
  read(headers: Headers): void {
    for (const [, quoted = ""] of (headers.get("warning") ?? "").matchAll(
      /\b299 +\S+ +"((?:[^"\\]|\\.)*)"/g,
    )) {
      this.add(quoted.replace(/\\(.)/g, "$1"))
    }
  }

  add(text: string): void {
    const short = text.slice(0, LENGTH)
    if (this.#seen.has(short) || this.#seen.size >= LIMIT) return
    this.#seen.add(short)
    this.onWarning(this.host, short)
  }
}
