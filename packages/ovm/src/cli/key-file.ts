import { open, rename, unlink } from "node:fs/promises"
import { ifPresent } from "../content/layout/files.ts"
import { OvmError, toOvmError } from "../errors.ts"

/**
 * Writes a key with `mode`, never readable by others in between, and never over a file that is there unless `force`. Throws
 * OVM_USAGE if it is there, and what the system refuses.
 */
export async function writeKeyFile(path: string, text: string, mode: number, force: boolean): Promise<void> {
  const fresh = force ? `${path}.new` : path
  try {
    if (force) await ifPresent(unlink(fresh))
    const file = await open(fresh, "wx", mode)
    try {
      await file.writeFile(text)
      await file.sync()
    } finally {
      await file.close()
    }
    if (force) await rename(fresh, path)
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code !== "EEXIST") throw toOvmError(thrown)
    throw new OvmError("OVM_USAGE", `${path} is there already, and a key that is replaced is lost`, {
      cause: thrown,
      hint: "--output-key-prefix another, or --force",
    })
  }
}
