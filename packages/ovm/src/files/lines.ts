import { fstatSync, ftruncateSync, readSync } from "node:fs"
import { writeNow } from "./writing.ts"

const LINE_FEED = 0x0a

/**
 * Adds lines of `text` to the file that is open for reading and appending, whole or not at all: a part of one, which a
 * full disk or a writer that died left, would spoil the next. Throws the system's error.
 */
export function appendWhole(fd: number, text: string): void {
  const before = wholeLines(fd)
  try {
    writeNow(fd, Buffer.from(text))
  } catch (error) {
    ftruncateSync(fd, before)
    throw error
  }
}

/** Cuts a last line off that does not end, and gives the size in bytes. */
function wholeLines(fd: number): number {
  const { size } = fstatSync(fd)
  const last = Buffer.alloc(1)
  if (size === 0 || (readSync(fd, last, 0, 1, size - 1) === 1 && last[0] === LINE_FEED)) return size
  const all = Buffer.alloc(size)
  const whole = all.subarray(0, readSync(fd, all, 0, size, 0)).lastIndexOf(LINE_FEED) + 1
  ftruncateSync(fd, whole)
  return whole
}

/** True for the error of a file system without room, or a quota that is used up. */
export function isNoRoom(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException
  return code === "ENOSPC" || code === "EDQUOT"
}
