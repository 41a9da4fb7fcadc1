import { archiveOf } from "./tar.ts"

const BLOCK = 512

/** A piece of a file with holes: where it lies in the file, and how long it is. */
export type Piece = readonly [offset: number, length: number]

/** How an archive says where the holes of its one file are. */
export type Holes = "0.0" | "0.1" | "1.0"

export interface Sparse {
  /** Bytes of the whole file. */
  readonly size: number
  readonly pieces: readonly Piece[]
  /** What lies in the archive: the pieces, one behind the other. */
  readonly bytes: Buffer
}

/** The archive of one file with holes, by records of pax (GNU tar, "Storing Sparse Files"). */
export function sparseArchive(holes: Holes, { size, pieces, bytes }: Sparse): Buffer {
  const numbers = pieces.flat()
  if (holes === "1.0") {
    const map = [pieces.length, ...numbers].map((number) => `${number}\n`).join("")
    const padded = Buffer.alloc(Math.ceil(map.length / BLOCK) * BLOCK)
    padded.write(map, "latin1")
    const pax = {
      "GNU.sparse.major": "1",
      "GNU.sparse.minor": "0",
      "GNU.sparse.name": "disk.raw",
      "GNU.sparse.realsize": `${size}`,
    }
    return archiveOf([{ name: "GNUSparseFile.0/disk.raw", content: Buffer.concat([padded, bytes]), pax }])
  }
  const head = { "GNU.sparse.size": `${size}`, "GNU.sparse.numblocks": `${pieces.length}` }
  if (holes === "0.1")
    return archiveOf([
      { name: "disk.raw", content: bytes, pax: { ...head, "GNU.sparse.map": numbers.join(",") } },
    ])
  // The same two keys again for each piece, which no object can have.
  const each = pieces.flatMap(([offset, length]): [string, string][] => [
    ["GNU.sparse.offset", `${offset}`],
    ["GNU.sparse.numbytes", `${length}`],
  ])
  return archiveOf([{ name: "disk.raw", content: bytes, pax: [...Object.entries(head), ...each] }])
}

/** The archive of one file with at most four pieces, by an entry of GNU tar's type `S`. */
export function gnuSparseArchive({ size, pieces, bytes }: Sparse): Buffer {
  const tar = archiveOf([{ name: "disk.raw", type: "S", content: bytes }])
  tar.write("ustar  \0", 257, "latin1")
  const octal = (value: number, at: number) =>
    tar.write(`${value.toString(8).padStart(11, "0")}\0`, at, "latin1")
  for (const [at, [offset, length]] of pieces.entries()) {
    octal(offset, 386 + 24 * at)
    octal(length, 398 + 24 * at)
  }
  octal(size, 483)
  tar.fill(" ", 148, 156)
  const sum = tar.subarray(0, BLOCK).reduce((all, byte) => all + byte, 0)
  tar.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1")
  return tar
}
