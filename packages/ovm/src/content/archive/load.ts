import { guarded } from "../../files/guarded.ts"
import { type CopyEvent, copyGraph, type Destination, type Source } from "../copy.ts"
import type { Descriptor } from "../descriptor.ts"
import type { Bytes, Call } from "../interfaces.ts"
import { nameOf, toDescriptor } from "../layout/names.ts"
import { StreamInput } from "./input.ts"
import { refuseCompressed } from "./reader.ts"
import { scanArchive } from "./scan.ts"

export interface LoadedEntry {
  /** As the archive's index has it. */
  readonly name?: string
  readonly target: Descriptor
}

export interface LoadOptions extends Call {
  onProgress?(event: CopyEvent): void
}

/**
 * Stores the blobs of the archive that `content` is, in the order in which they come, and returns what its index lists
 * once all of it is there, whole and verified. Nothing is named: that is for the caller, who thereby decides between
 * all and nothing; blobs of an archive that failed go with the next garbage collection. `what` is the archive in
 * messages. Throws OVM_ARTIFACT_INVALID, OVM_UNSUPPORTED for a compressed archive, OVM_CONTENT_MISSING,
 * OVM_DIGEST_MISMATCH, and what the store throws.
 */
export function loadArchive(
  store: Source & Destination,
  content: Bytes,
  what: string,
  { onProgress, ...call }: LoadOptions = {},
): Promise<LoadedEntry[]> {
  return guarded(async () => {
    const input = new StreamInput(uncompressed(content, what), call)
    const index = await scanArchive(input, what, async ({ digest, size, content }) => {
      const descriptor = { mediaType: "application/octet-stream", digest, size }
      const report = (phase: CopyEvent["phase"], done: number) =>
        onProgress?.({ phase, descriptor, done, total: size })
      const there = onProgress !== undefined && (await store.exists(descriptor, call))
      await store.push(
        descriptor,
        there ? content() : counted(content(), (done) => report("transfer", done)),
        call,
      )
      report(there ? "exists" : "done", size)
    })
    // A pipe's writer would see a broken pipe if what fills its last block were left unread.
    await input.skip(Number.MAX_SAFE_INTEGER)
    const entries = index.manifests.flatMap((entry) => {
      const target = toDescriptor(entry)
      const name = nameOf(entry)
      return target ? [{ target, ...(name !== undefined && { name }) }] : []
    })
    // From the store to itself: nothing is copied, and what is not there is missed.
    for (const { target } of entries) await copyGraph(store, target, store, call)
    return entries
  })
}

async function* counted(content: Bytes, onBytes: (done: number) => void): Bytes {
  let done = 0
  for await (const chunk of content) {
    yield chunk
    done += chunk.byteLength
    onBytes(done)
  }
}

async function* uncompressed(content: Bytes, what: string): Bytes {
  let first = true
  for await (const chunk of content) {
    if (first) refuseCompressed(chunk, what)
    first = false
    yield chunk
  }
}
