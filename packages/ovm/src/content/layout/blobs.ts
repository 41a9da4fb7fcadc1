import { closeSync, existsSync, readSync, statSync } from "node:fs"
import { join } from "node:path"
import { OvmError } from "../../errors.ts"
import { asyncFs } from "../../files/async.ts"
import { readChunks } from "../../files/chunks.ts"
import { openRegularSync, readRegularSync, refuseOthers } from "../../files/regular.ts"
import type { Descriptor } from "../descriptor.ts"
import type { Digest } from "../digest.ts"
import { sha256 } from "../digest.ts"
import type { Bytes, Call, Progressing } from "../interfaces.ts"
import { bytesOf } from "../read.ts"
import { digestMismatch, sizeMismatch, verifiedContent } from "../verify.ts"
import type { LayoutFiles } from "./files.ts"
import type { Stamps } from "./stamps.ts"

const CHUNK = 256 * 1024

/** The blobs of a layout, read: nothing is believed that was not hashed since its file last changed. */
export class Blobs {
  constructor(
    private readonly files: LayoutFiles,
    private readonly stamps: Stamps,
  ) {}

  /**
   * Path of the file that holds exactly `target`; undefined if absent. Throws OVM_SIZE_MISMATCH, OVM_DIGEST_MISMATCH.
   */
  async path(target: Descriptor, call: Call = {}): Promise<string | undefined> {
    const path = this.files.blob(target.digest)
    const before = statSync(path, { bigint: true, throwIfNoEntry: false })
    if (!before) return undefined
    refuseOthers(path, before)
    if (before.size !== BigInt(target.size)) throw sizeMismatch(target, `${before.size}`, path)
    if (await this.stamps.has(target.digest, before)) return path
    const found = await hashFile(path, call)
    if (found !== target.digest) throw digestMismatch(target, found, path)
    // The stat from before the hash: a file that changed meanwhile does not match its stamp. It is not known to be on
    // the disk, so the stamp ends with this boot.
    await this.stamps.put(target.digest, before, false)
    return path
  }

  /** True if the blob is there and whole. A damaged one counts as absent, so that the next pull mends it. */
  async has(target: Descriptor, call: Call = {}): Promise<boolean> {
    try {
      return (await this.path(target, call)) !== undefined
    } catch (error) {
      if (error instanceof OvmError && MISMATCH.has(error.code)) return false
      throw error
    }
  }

  /** True if there is a blob of `size` bytes. */
  async anyOf(size: number): Promise<boolean> {
    for (const name of await asyncFs().readdir(this.files.blobs))
      if (statSync(join(this.files.blobs, name), { throwIfNoEntry: false })?.size === size) return true
    return false
  }

  peek(target: Descriptor, length: number): Uint8Array | undefined {
    const path = this.files.blob(target.digest)
    if (!existsSync(path)) return undefined
    const fd = openRegularSync(path)
    try {
      const bytes = new Uint8Array(length)
      return readSync(fd, bytes, 0, length, 0) === length ? bytes : undefined
    } finally {
      closeSync(fd)
    }
  }

  /** The verified content. Throws OVM_CONTENT_MISSING at once if it is absent. */
  async read(target: Descriptor, call: Call = {}): Promise<Bytes> {
    const path = this.files.blob(target.digest)
    const found = statSync(path, { throwIfNoEntry: false })
    if (!found) throw missing(target.digest, this.files.root)
    refuseOthers(path, found)
    // A small file is read synchronously: its way through the thread pool would take longer than the reading.
    const content = found.size <= CHUNK ? bytesOf(readRegularSync(path, CHUNK)) : readChunks(path, call)
    return verifiedContent(content, target, path)
  }
}

const MISMATCH: ReadonlySet<string> = new Set(["OVM_SIZE_MISMATCH", "OVM_DIGEST_MISMATCH"])

export function missing(digest: Digest, where: string): OvmError {
  return new OvmError("OVM_CONTENT_MISSING", `${digest} is not in ${where}`, { detail: { digest } })
}

export async function hashFile(path: string, call: Progressing = {}): Promise<Digest> {
  const hash = sha256()
  let done = 0
  for await (const chunk of readChunks(path, call)) {
    hash.update(chunk)
    done += chunk.byteLength
    call.onBytes?.(done)
  }
  return hash.digest()
}
