import { FileInput } from "../../content/archive/input.ts"
import { type Sparse, withHoles } from "../../content/archive/sparse.ts"
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
  /** Of a file with holes: which pieces of it are there. */
  readonly sparse?: Sparse
}

/** More than any machine comes in. */
const MOST = 256
/** Of all files with holes, which cost an archive nothing. */
const MOST_SPARSE = 256 * 2 ** 30

/**
 * The files of the tar archive `path`, in order, with holes too; with `link`, of what is neither file nor folder only
 * symbolic links are told, and without it such an entry is refused. Throws as readTar does.
 */
export async function* filesInTar(
  path: string,
  call: Call = {},
  link?: (name: string, target: string) => void,
): AsyncIterable<ArchivedFile> {
  await using handle = await openRegular(path)
  const input = new FileInput(handle, (await handle.stat()).size, call)
  const taken = { sparse: true, ...(link && { link }) }
  for await (const entry of readTar(input, path, link && (() => {}), taken)) {
    const { directory, name, size, offset, sparse } = entry
    if (!directory) yield { name, size, offset, ...(sparse && { sparse }) }
  }
}

/** The same, all of them. Throws OVM_DISK_INVALID for two of one name, for too many, and for too much in holes. */
export async function archivedFiles(path: string, call: Call = {}): Promise<readonly ArchivedFile[]> {
  const found = new Map<string, ArchivedFile>()
  let sparse = 0
  for await (const file of filesInTar(path, call)) {
    if (file.sparse) sparse += file.size
    if (sparse > MOST_SPARSE) throw invalid(path, `has more than ${MOST_SPARSE} bytes in files with holes`)
    if (found.has(file.name)) throw invalid(path, `has two files ${JSON.stringify(file.name)}`)
    if (found.size === MOST) throw invalid(path, `has more than ${MOST} files`)
    found.set(file.name, file)
  }
  return [...found.values()]
}

/** The content of a file in the archive `path`. */
export async function* contentIn(
  path: string,
  { offset, size, sparse }: ArchivedFile,
  call: Call = {},
): Bytes {
  await using handle = await openRegular(path)
  const stored = (at: number, length: number) => readSparse(handle, offset + at, offset + at + length, call)
  yield* sparse ? withHoles(sparse, stored) : stored(0, size)
}
