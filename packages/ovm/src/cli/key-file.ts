import { open, unlink } from "node:fs/promises"
import { OvmError, toOvmError } from "../errors.ts"
import { fill, replaceFile } from "../files/replace.ts"
import { named } from "../files/writing.ts"

/**
 * Writes a key with `mode`, never readable by others in between, and never over a file that is there unless `force`.
 * Throws OVM_USAGE if it is there, and what the system refuses.
 */
export async function writeKeyFile(path: string, text: string, mode: number, force: boolean): Promise<void> {
  try {
    if (force) return await replaceFile(path, text, { mode, durable: true })
    const file = await open(path, "wx", mode)
    await fill(file, text, true).catch(async (thrown) => {
      await unlink(path)
      throw named(path, thrown)
    })
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code !== "EEXIST") throw toOvmError(thrown)
    throw new OvmError("OVM_USAGE", `${path} is there already, and a key that is replaced is lost`, {
      cause: thrown,
      hint: "--output-key-prefix another, or --force",
    })
  }
}
