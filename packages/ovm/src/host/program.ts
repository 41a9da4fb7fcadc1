import { accessSync, constants, statSync } from "node:fs"
import { delimiter, join } from "node:path"

/** Whether there is a file at `path` that this process may run; not where nobody may look. */
export function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return statSync(path).isFile()
  } catch {
    return false
  }
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
