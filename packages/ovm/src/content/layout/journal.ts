import { closeSync, constants, fstatSync, ftruncateSync, openSync, readFileSync, writeSync } from "node:fs"
import type { Extent, Extents } from "../extents.ts"

/**
 * Which extents of a partial file are written, one line each, for whoever goes on after its writer died. A line follows
 * its bytes, so what it says was written; a torn last line says nothing. Only the digest proves the whole in the end, so
 * it needs no fsync.
 */
export class Journal {
  readonly #fd: number

  /**
   * Opens the journal `path` of the open file `of`, which its first line names by inode and size: of a journal of
   * another file nothing is believed. What it says is added to `extents`.
   */
  constructor(
    path: string,
    private readonly of: number,
    size: number,
    extents: Extents,
  ) {
    this.#fd = openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_APPEND, 0o600)
    if (!this.#read(size, extents)) this.clear(size)
  }

  #read(size: number, extents: Extents): boolean {
    const head = this.#head(size)
    const text = readFileSync(this.#fd, "utf8")
    if (!text.startsWith(head)) return false
    const whole = text.slice(0, text.lastIndexOf("\n") + 1)
    const present = Math.min(size, fstatSync(this.of).size)
    for (const extent of parse(whole.slice(head.length))) if (extent.end <= present) extents.add(extent)
    // Whatever was torn is cut off, or the next line would continue it.
    this.#cut(whole.length)
    return true
  }

  add({ start, end }: Extent): void {
    writeSync(this.#fd, `${start} ${end}\n`)
  }

  /** Forgets everything. */
  clear(size: number): void {
    this.#cut(0)
    writeSync(this.#fd, this.#head(size))
  }

  // Not where there is nothing to cut off: ext4 brings a file that was truncated to the disk when it is closed, at once.
  #cut(length: number): void {
    if (fstatSync(this.#fd).size > length) ftruncateSync(this.#fd, length)
  }

  close(): void {
    closeSync(this.#fd)
  }

  #head(size: number): string {
    return `${fstatSync(this.of).ino} ${size}\n`
  }
}

function parse(text: string): Extent[] {
  const lines = text.split("\n").map((line) => /^(\d{1,15}) (\d{1,15})$/.exec(line))
  return lines.flatMap((match) => (match ? [{ start: Number(match[1]), end: Number(match[2]) }] : []))
}
