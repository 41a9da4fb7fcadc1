import type { ContextSource } from "../../build/context.ts"
import { Wrong } from "../../build/faults.ts"
import { parseTarHeader } from "../../content/archive/tar.ts"
import { sha256 } from "../../content/digest.ts"
import type { Bytes, Call } from "../../content/interfaces.ts"
import { packingOf } from "../../convert/source.ts"
import { unpacked } from "../../convert/unpack.ts"
import { OvmError } from "../../errors.ts"
import { readChunks } from "../../files/chunks.ts"

const BLOCK = 512

/**
 * Whether what is in the file, once it is unpacked, begins as a tar archive does: what is only compressed is none.
 * Throws Wrong where the program that unpacks it is not installed.
 */
export async function isPackedTar(path: string): Promise<boolean> {
  try {
    let head = Buffer.alloc(0)
    for await (const chunk of await plain(path)) {
      head = Buffer.concat([head, chunk])
      if (head.length >= BLOCK) break
    }
    return head.length >= BLOCK && parseTarHeader(head.subarray(0, BLOCK)) !== undefined
  } catch (thrown) {
    if (!(thrown instanceof OvmError)) throw thrown
    if (thrown.code === "OVM_HOST_FAILED") throw new Wrong(thrown.message)
    return false
  }
}

/**
 * What is in an archive of a context: nothing but a guest reads it. Throws OVM_FILE_UNREADABLE for one that was changed
 * since it was planned, or is damaged.
 */
export async function* archiveContent({ entries, name }: ContextSource, call: Call): Bytes {
  const [entry] = entries
  if (!entry) return
  try {
    yield* await plain(entry.path, call)
  } catch (thrown) {
    if (!(thrown instanceof OvmError) || thrown.code !== "OVM_DISK_INVALID") throw thrown
    throw new OvmError("OVM_FILE_UNREADABLE", `${name} cannot be unpacked`, { cause: thrown })
  }
  const hash = sha256()
  for await (const chunk of readChunks(entry.path)) hash.update(chunk)
  if (hash.digest() !== entry.digest)
    throw new OvmError("OVM_FILE_UNREADABLE", `${name}: it was changed while the build went on`)
}

async function plain(path: string, call: Call = {}): Promise<Bytes> {
  const packing = await packingOf(path)
  return packing ? unpacked(path, packing, call) : readChunks(path)
}
