import { FileInput } from "../../content/archive/input.ts"
import { readTar } from "../../content/archive/tar.ts"
import type { Bytes, Call } from "../../content/interfaces.ts"
import { invalid } from "../../disk/file.ts"
import { openRegular } from "../../files/regular.ts"
import { readSparse } from "../../files/sparse.ts"

/** A file in a tar archive. */
export interface ArchivedFile {
  readonly name: string
  readonly size: number
  /** Where it begins in the archive. */
  readonly offset: number
}

/** More than any machine comes in. */
const MOST = 256

/**
 * The files of the tar archive `path`, in order. Throws OVM_DISK_INVALID for two of one name and for too many, and what
 * readTar throws.
 */
export async function archivedFiles(path: string, call: Call = {}): Promise<readonly ArchivedFile[]> {
  await using handle = await openRegular(path)
  const found = new Map<string, ArchivedFile>()
  const input = new FileInput(handle, (await handle.stat()).size, call)
  for await (const { name, size, offset, directory } of readTar(input, path)) {
    if (directory) continue
    if (found.has(name)) throw invalid(path, `has two files ${JSON.stringify(name)}`)
    if (found.size === MOST) throw invalid(path, `has more than ${MOST} files`)
    found.set(name, { name, size, offset })
  }
  return [...found.values()]
}

/** The content of a file in the archive `path`. */
export async function* contentIn(path: string, { offset, size }: ArchivedFile, call: Call = {}): Bytes {
  await using handle = await openRegular(path)
  yield* readSparse(handle, offset, offset + size, call)
}
