import type { Descriptor } from "../content/descriptor.ts"
import { isDigest } from "../content/digest.ts"
import type { Call } from "../content/interfaces.ts"
import type { LayoutReader } from "../content/layout/reader.ts"
import { parseLinks } from "../content/manifest.ts"
import { fetchAll, MANIFEST_LIMIT } from "../content/read.ts"
import { OvmError } from "../errors.ts"
import { parseReference, type Reference } from "../registry/reference.ts"

/**
 * Another repository of the same registry that probably has blobs of `target`, because an image with some of them has a
 * name there: whence they can be mounted and need not be sent. A guess, which costs a request if it is wrong.
 */
export async function siblingOf(
  store: LayoutReader,
  target: Descriptor,
  { host, repository }: Reference,
  call: Call,
): Promise<string | undefined> {
  const wanted = await blobsOf(store, target, call)
  for await (const { reference, target: other } of store.list(call)) {
    const name = parsed(reference)
    if (name?.host !== host || name?.repository === repository) continue
    const theirs = other.digest === target.digest ? wanted : await blobsOf(store, other, call)
    if (theirs.some((digest) => wanted.includes(digest))) return name?.repository
  }
  return undefined
}

/** Digests of what a manifest refers to; none for what cannot be read, which somebody else reports. */
async function blobsOf(store: LayoutReader, target: Descriptor, call: Call): Promise<readonly string[]> {
  try {
    const bytes = await fetchAll(store, target, MANIFEST_LIMIT, call)
    return parseLinks(bytes, target.digest).children.map(({ digest }) => digest)
  } catch (error) {
    if (error instanceof OvmError) return []
    throw error
  }
}

function parsed(name: string): Reference | undefined {
  try {
    return isDigest(name) ? undefined : parseReference(name)
  } catch {
    // Other tools' names need not be references.
    return undefined
  }
}
