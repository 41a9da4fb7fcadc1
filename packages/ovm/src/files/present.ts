import { openSync, readFileSync } from "node:fs"
import { OvmError } from "../errors.ts"
import { asyncFs } from "./async.ts"
import { named, writing } from "./writing.ts"

/** True for the error of a file that is not there: the system's own, or one that was made of it. */
export function isAbsent(error: unknown): boolean {
  const { code } = (error instanceof OvmError ? (error.cause ?? error) : error) as NodeJS.ErrnoException
  return code === "ENOENT" || code === "ENOTDIR"
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

/** The bytes of a file; undefined if it is not there. */
export function bytesIfPresent(path: string): Promise<Buffer | undefined> {
  return ifPresent(writing(path, () => asyncFs().readFile(path)))
}

/** The text of a small file, read at once; undefined if it is not there. */
export function textIfPresent(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8")
  } catch (error) {
    if (isAbsent(error)) return undefined
    throw named(path, error)
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
