import { closeSync, constants, fstatSync, ftruncateSync, openSync, readFileSync, rmSync } from "node:fs"
import type { Extent, Extents } from "../../files/extents.ts"
import { openIfPresent } from "../../files/present.ts"
import { writeNow } from "../../files/writing.ts"

/**
 * A journal is begun only after so many ms or bytes of a blob: most small ones come and go without one, since fetching
 * them again costs little.
 */
const WORTH_MS = 500
const WORTH_BYTES = 16 * 1024 * 1024

/**
 * Which extents of a partial file are written, one line each, for whoever goes on after its writer died. A line follows
 * its bytes, so what it says was written; a torn last line says nothing. Only the digest proves the whole in the end,
 * so it needs no fsync. There is no file before there is something to lose.
 */
export class Journal {
  readonly #began = performance.now()
  #fd: number | undefined

  /**
   * Opens the journal `path` of the open file `of`, which its first line names by inode and size: of a journal of
   * another file nothing is believed. What it says is added to `extents`, which has what is told of by `add` too.
   */
  constructor(
    private readonly path: string,
    private readonly of: number,
    private readonly size: number,
    private readonly extents: Extents,
  ) {
    this.#fd = openIfPresent(path, constants.O_RDWR | constants.O_APPEND)
    if (this.#fd !== undefined && !this.#read(this.#fd)) this.#rewrite(this.#fd)
  }

  #read(fd: number): boolean {
    const head = this.#head()
    const text = readFileSync(fd, "utf8")
    if (!text.startsWith(head)) return false
    const whole = text.slice(0, text.lastIndexOf("\n") + 1)
    const present = Math.min(this.size, fstatSync(this.of).size)
    for (const extent of parse(whole.slice(head.length))) if (extent.end <= present) this.extents.add(extent)
    // Whatever was torn is cut off, or the next line would continue it.
    cut(fd, whole.length)
    return true
  }

  /** After `extent` was added to the extents. */
  add(extent: Extent): void {
    if (this.#fd !== undefined) writeNow(this.#fd, Buffer.from(line(extent)))
    else if (this.extents.total > WORTH_BYTES || performance.now() - this.#began > WORTH_MS) this.#make()
  }

  /** After the extents were cleared. */
  clear(): void {
    if (this.#fd !== undefined) this.#rewrite(this.#fd)
  }

  /** With `keep`, what there is stays for another attempt. */
  close(keep: boolean): void {
    if (keep && this.#fd === undefined) this.#make()
    if (this.#fd !== undefined) closeSync(this.#fd)
    this.#fd = undefined
  }

  /** What it is about is a blob now. */
  remove(): void {
    if (this.#fd === undefined) return
    this.close(false)
    rmSync(this.path, { force: true })
  }

  #make(): void {
    this.#fd = openSync(this.path, constants.O_RDWR | constants.O_CREAT | constants.O_APPEND, 0o600)
    this.#rewrite(this.#fd)
  }

  #rewrite(fd: number): void {
    cut(fd, 0)
    writeNow(fd, Buffer.from(this.#head() + this.extents.list.map(line).join("")))
  }

  #head(): string {
    return `${fstatSync(this.of).ino} ${this.size}\n`
  }
}

// Not where there is nothing to cut off: ext4 brings a file that was truncated to the disk when it is closed, at once.
function cut(fd: number, length: number): void {
  if (fstatSync(fd).size > length) ftruncateSync(fd, length)
}

function line({ start, end }: Extent): string {
  return `${start} ${end}\n`
}

function parse(text: string): Extent[] {
  const lines = text.split("\n").map((line) => /^(\d{1,15}) (\d{1,15})$/.exec(line))
  return lines.flatMap((match) => (match ? [{ start: Number(match[1]), end: Number(match[2]) }] : []))
}
