import { openRegular } from "./regular.ts"
import { readSparse } from "./sparse.ts"
import { named } from "./writing.ts"

/**
 * The bytes of the regular file `path`, opened when the iteration begins and closed when it ends. Throws what opening
 * throws, and the system's errors with the path.
 */
export async function* readChunks(
  path: string,
  call: { readonly signal?: AbortSignal } = {},
): AsyncIterable<Uint8Array> {
  const handle = await openRegular(path)
  try {
    yield* readSparse(handle, 0, Number.POSITIVE_INFINITY, call)
  } catch (error) {
    throw named(path, error)
  } finally {
    await handle.close()
  }
}
