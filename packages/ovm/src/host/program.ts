import { accessSync, constants, statSync } from "node:fs"

/** Whether there is a file at `path` that this process may run; not where nobody may look. */
export function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return statSync(path).isFile()
  } catch {
    return false
  }
}
