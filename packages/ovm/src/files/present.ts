import { closeSync, constants, fstatSync, lstatSync, openSync, readFileSync } from "node:fs"
import { OvmError } from "../errors.ts"
import { asyncFs } from "./async.ts"
import { refuseOthers } from "./regular.ts"
import { named, writing } from "./writing.ts"

/** A named pipe in the place of a file keeps nobody waiting. */
const FLAGS = constants.O_RDONLY | constants.O_NONBLOCK

/** True for the error of a file that is not there: the system's own, or one that was made of it. */
export function isAbsent(error: unknown): boolean {
  const { code } = (error instanceof OvmError ? (error.cause ?? error) : error) as NodeJS.ErrnoException
  return code === "ENOENT" || code === "ENOTDIR"
}

/** True if there is something of that name, also a link to what is not there. Throws for a folder that is kept shut. */
export function hasEntry(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined
}

/** What `work` gives, or undefined if the file that it wants is not there. */
export async function ifPresent<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work
  } catch (error) {
    if (isAbsent(error)) return undefined
    throw error
  }
}

/**
 * The bytes of a regular file; undefined if there is no file. Throws OVM_FILE_UNREADABLE for anything else, without
 * waiting for it.
 */
export function bytesIfPresent(path: string): Promise<Buffer | undefined> {
  return ifPresent(
    writing(path, async () => {
      const handle = await asyncFs().open(path, FLAGS)
      try {
        refuseOthers(path, await handle.stat())
        return await handle.readFile()
      } finally {
        await handle.close()
      }
    }),
  )
}

/** The text of a small regular file, read synchronously; undefined if there is no file. */
export function textIfPresent(path: string): string | undefined {
  let fd: number | undefined
  try {
    fd = openSync(path, FLAGS)
    refuseOthers(path, fstatSync(fd))
    return readFileSync(fd, "utf8")
  } catch (error) {
    if (isAbsent(error)) return undefined
    throw named(path, error)
  } finally {
    if (fd !== undefined) closeSync(fd)
  }
}

/** The file, opened; undefined if it is not there. */
export function openIfPresent(path: string, flags: number): number | undefined {
  try {
    return openSync(path, flags)
  } catch (error) {
    if (isAbsent(error)) return undefined
    throw error
  }
}
