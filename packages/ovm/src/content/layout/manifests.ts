import { OvmError } from "../../errors.ts"
import { asyncFs } from "../../files/async.ts"
import { ifPresent } from "../../files/present.ts"
import { openRegular } from "../../files/regular.ts"
import { named } from "../../files/writing.ts"
import type { Descriptor } from "../descriptor.ts"
import { type Digest, isDigest } from "../digest.ts"
import { type Links, parseLinks } from "../manifest.ts"
import { MANIFEST_LIMIT } from "../read.ts"
import { parseReferrer } from "../referrers.ts"
import type { LayoutFiles } from "./files.ts"

// Manifests are found by looking at the blobs: a list beside them could go out of step (docs/design/0003).

export async function listBlobs(files: LayoutFiles): Promise<Digest[]> {
  const names = (await ifPresent(asyncFs().readdir(files.blobs))) ?? []
  return names.map((name) => `sha256:${name}`).filter((digest) => isDigest(digest))
}

/** The links of a blob that may be a manifest. */
export async function linksOf(path: string): Promise<Links | undefined> {
  const bytes = await manifestBytes(path)
  try {
    return bytes && parseLinks(bytes, path)
  } catch (error) {
    if (error instanceof OvmError) return undefined
    throw error
  }
}

/** All referrers of `subject`, in the order of their digests. Damaged ones are none. */
export async function* referrersIn(files: LayoutFiles, subject: Digest): AsyncIterable<Descriptor> {
  for (const digest of (await listBlobs(files)).sort()) {
    const bytes = await manifestBytes(files.blob(digest))
    const found = bytes && parseReferrer(bytes)
    if (found?.subject === subject && found.descriptor.digest === digest) yield found.descriptor
  }
}

/** A blob that may be a manifest: small, and its first byte opens an object. */
async function manifestBytes(path: string): Promise<Uint8Array | undefined> {
  // What is no file is no manifest. What cannot be read just now may be one: nobody is to take it for none.
  if (!(await ifPresent(asyncFs().stat(path)))?.isFile()) return undefined
  const handle = await ifPresent(openRegular(path))
  if (!handle) return undefined
  try {
    const { size } = await handle.stat()
    if (size === 0 || size > MANIFEST_LIMIT) return undefined
    const { buffer } = await handle.read(Buffer.alloc(1), 0, 1, 0)
    if (buffer.toString() !== "{") return undefined
    const bytes = Buffer.alloc(size)
    const { bytesRead } = await handle.read(bytes, 0, size, 0)
    return bytes.subarray(0, bytesRead)
  } catch (error) {
    throw named(path, error)
  } finally {
    await handle.close()
  }
}
