import { accessSync, constants, statSync } from "node:fs"
import { delimiter, join } from "node:path"

/** A program on disk; the three change whenever another version is installed. */
export interface Binary {
  readonly path: string
  readonly size: number
  readonly mtimeMs: number
}

/** `said`, where somebody said where it is, or the first program called `name` on PATH; undefined if there is none. */
export function findBinary(
  name: string,
  said: string | undefined,
  env: Record<string, string | undefined>,
): Binary | undefined {
  const folders = (env.PATH ?? "").split(delimiter).filter((folder) => folder !== "")
  const candidates = said ? [said] : folders.map((folder) => join(folder, name))
  for (const path of candidates) {
    const found = binaryAt(path)
    if (found) return found
  }
  return undefined
}

/** Undefined for what cannot be run or looked at, such as a folder on PATH that is somebody else's. */
function binaryAt(path: string): Binary | undefined {
  try {
    // Every start looks some times through all of PATH: what is not there is not to cost an error each.
    const found = statSync(path, { throwIfNoEntry: false })
    if (!found) return undefined
    accessSync(path, constants.X_OK)
    return found.isFile() ? { path, size: found.size, mtimeMs: found.mtimeMs } : undefined
  } catch {
    return undefined
  }
}
