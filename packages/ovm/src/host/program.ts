import { accessSync, constants, type Stats, statSync } from "node:fs"
import { delimiter, join } from "node:path"

/** The file at `path`, if this process may run it; undefined also where nobody may look. */
export function programAt(path: string): Stats | undefined {
  try {
    // Every start looks some times through all of PATH: what is not there is not to cost an error each.
    const found = statSync(path, { throwIfNoEntry: false })
    if (!found?.isFile()) return undefined
    accessSync(path, constants.X_OK)
    return found
  } catch {
    return undefined
  }
}

/** Whether there is such a file. */
export function isProgram(path: string): boolean {
  return programAt(path) !== undefined
}

/** The first program called `name` on PATH, and then in `places`; undefined if there is none. */
export function programOnPath(
  name: string,
  { PATH = "" }: Record<string, string | undefined>,
  places: readonly string[] = [],
): string | undefined {
  const folders = [...PATH.split(delimiter), ...places].filter((folder) => folder !== "")
  return folders.map((folder) => join(folder, name)).find(isProgram)
}
