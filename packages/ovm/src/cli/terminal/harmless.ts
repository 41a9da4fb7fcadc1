import type { Bytes } from "../../content/interfaces.ts"
import { printable } from "../output.ts"

const ESCAPE = String.fromCharCode(0x1b)
/** Colours and the like, which change nothing but how text looks (ECMA-48, SGR). */
const LOOKS = new RegExp(`${ESCAPE}\\[[0-9;:]*m`, "g")
/** Half of one at the end of a piece, or of the end of a line. */
const BEGUN = new RegExp(`(?:${ESCAPE}(?:\\[[0-9;:]{0,64})?|\\r+)$`)

/**
 * Console bytes of a guest as they may appear on a terminal that is not the guest's: colours are left out, and every
 * other control character but newlines and tabs is shown as an escape, so that nothing that was logged moves the
 * cursor, changes the screen, or types.
 */
export class Harmless {
  readonly #decoder = new TextDecoder()
  #rest = ""

  /** Of the next piece; what is not whole yet waits for more. */
  take(bytes: Uint8Array): string {
    return this.#shown(this.#rest + this.#decoder.decode(bytes, { stream: true }), true)
  }

  /** Of what is left. */
  end(): string {
    return this.#shown(this.#rest + this.#decoder.decode(), false)
  }

  #shown(text: string, more: boolean): string {
    const plain = text.replace(LOOKS, "")
    const at = more ? plain.search(BEGUN) : -1
    this.#rest = at < 0 ? "" : plain.slice(at)
    const whole = at < 0 ? plain : plain.slice(0, at)
    return whole
      .replace(/\r+\n/g, "\n")
      .split(/([\n\t])/)
      .map((part, index) => (index % 2 === 1 ? part : printable(part)))
      .join("")
  }
}

/** All of `bytes` as they may appear there. */
export async function* harmless(bytes: Bytes): AsyncIterable<string> {
  const shown = new Harmless()
  for await (const chunk of bytes) yield shown.take(chunk)
  yield shown.end()
}
