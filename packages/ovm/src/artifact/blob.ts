import type { Descriptor } from "../content/descriptor.ts"
import { sha256 } from "../content/digest.ts"
import type { Bytes, Call } from "../content/interfaces.ts"
import { toOvmError } from "../errors.ts"
import { readChunks } from "../files/chunks.ts"

/**
 * The descriptor of a local file, by reading it once. Throws OVM_FILE_UNREADABLE (also for what is no regular file),
 * OVM_INTERRUPTED.
 */
export async function describeFile(path: string, mediaType: string, call: Call = {}): Promise<Descriptor> {
  const hash = sha256()
  let size = 0
  for await (const chunk of fileBytes(path, call)) {
    hash.update(chunk)
    size += chunk.byteLength
  }
  return { mediaType, digest: hash.digest(), size }
}

/** The content of a local file as a stream. */
export async function* fileBytes(path: string, call: Call = {}): Bytes {
  try {
    yield* readChunks(path, call)
  } catch (thrown) {
    throw toOvmError(thrown)
  }
}
