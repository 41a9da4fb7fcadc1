import { open, stat } from "node:fs/promises"
import { dirname, resolve } from "node:path"
import type { Bytes } from "../content/interfaces.ts"
import { toOvmError } from "../errors.ts"
import { ifPresent } from "../files/present.ts"
import { fill, replaceFile } from "../files/replace.ts"
import { sweepTemporaries } from "../files/temporary.ts"
import { writing } from "../files/writing.ts"

/**
 * Writes the file `path` so that it is there whole or as it was before, and on the disk when this returns. Where it
 * is a link, as /dev/stdout is, the link stays. A pipe or device is written to as it is. Throws OVM_NO_SPACE and the
 * like, and what `content` throws.
 */
export async function writeOutput(path: string, content: Bytes): Promise<void> {
  try {
    const target = resolve(path)
    const found = await ifPresent(stat(target))
    if (found && !found.isFile())
      return await writing(target, async () => fill(await open(target, "w"), content, false))
    await sweepTemporaries(dirname(target))
    await replaceFile(target, content, { mode: 0o644, durable: true, through: true })
  } catch (thrown) {
    throw toOvmError(thrown)
  }
}
