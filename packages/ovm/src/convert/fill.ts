import { open } from "node:fs/promises"
import type { Bytes } from "../content/interfaces.ts"
import { toOvmError } from "../errors.ts"
import { overwrite } from "../files/sparse.ts"
import { writing } from "../files/writing.ts"

/**
 * Writes `content` into the new file `to`, with zeros as holes. Throws what `tooMuch` makes where it is more than
 * `most` bytes, what `content` throws, OVM_NO_SPACE.
 */
export async function fillBounded(
  content: Bytes,
  to: { readonly path: string; readonly most: number },
  tooMuch: () => Error,
): Promise<void> {
  try {
    await using file = await open(to.path, "wx", 0o600)
    let size = 0
    for await (const chunk of content) {
      if (size + chunk.length > to.most) throw tooMuch()
      const grown = { fd: file.fd, size: size + chunk.length }
      await writing(to.path, () => overwrite(grown, [chunk], size))
      size += chunk.length
    }
    // Zeros at its end are a hole that nothing was written to.
    await file.truncate(size)
  } catch (thrown) {
    throw toOvmError(thrown)
  }
}
