import { fstatSync, ftruncateSync, writeSync } from "node:fs"

/** Adds `text` to the end of the open file, whole or not at all: what is left of a part would spoil the next. Throws the system's error. */
export function appendWhole(fd: number, text: string): void {
  const bytes = Buffer.from(text)
  const before = fstatSync(fd).size
  try {
    for (let done = 0; done < bytes.length; ) done += writeSync(fd, bytes, done)
  } catch (error) {
    ftruncateSync(fd, before)
    throw error
  }
}

/** True for the error of a file system without room, or a quota that is used up. */
export function isNoRoom(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException
  return code === "ENOSPC" || code === "EDQUOT"
}
