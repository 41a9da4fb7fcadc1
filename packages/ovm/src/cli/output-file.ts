import { type FileHandle, open, rename, stat, unlink } from "node:fs/promises"
import { dirname, join, resolve } from "node:path"
import { BATCH } from "../content/batch.ts"
import type { Bytes } from "../content/interfaces.ts"
import { ifPresent } from "../content/layout/files.ts"
import { toOvmError } from "../errors.ts"

/**
 * Writes the file `path` so that it is there whole or as it was before, and on the disk when this returns. A pipe or device is
 * written to as it is. Throws OVM_NO_SPACE and the like, and what `content` throws.
 */
export async function replaceFile(path: string, content: Bytes): Promise<void> {
  try {
    const target = resolve(path)
    const found = await ifPresent(stat(target))
    if (found && !found.isFile()) return await fill(await open(target, "w"), content, false)
    const temporary = join(dirname(target), `.${crypto.randomUUID()}.part`)
    try {
      await fill(await open(temporary, "wx", 0o644), content, true)
      await rename(temporary, target)
    } finally {
      await ifPresent(unlink(temporary))
    }
  } catch (thrown) {
    throw toOvmError(thrown)
  }
}

async function fill(handle: FileHandle, content: Bytes, durable: boolean): Promise<void> {
  try {
    for await (const batch of batches(content))
      for (let at = 0; at < batch.byteLength; ) at += (await handle.write(batch, at)).bytesWritten
    if (durable) await handle.sync()
  } finally {
    await handle.close()
  }
}

/** The same bytes in batches: small pieces, as headers are, are not written one by one. */
export async function* batches(content: Bytes): Bytes {
  let held: Uint8Array[] = []
  let size = 0
  for await (const chunk of content) {
    held.push(chunk)
    size += chunk.byteLength
    if (size < BATCH) continue
    yield Buffer.concat(held)
    held = []
    size = 0
  }
  if (size > 0) yield Buffer.concat(held)
}
