import { open } from "node:fs/promises"
import { guarded } from "../../../files/guarded.ts"
import { dataFrom } from "../../../files/sparse.ts"
import { isZero } from "../../../files/zeros.ts"
import { punch } from "../../../host/libc.ts"

const PAGE = 4096
const PIECE = 256 * PAGE

/**
 * Makes holes of the pages of zeros in the file of a guest's RAM, and gives the bytes of all others. Firecracker writes
 * whatever it has. Throws OVM_FILE_UNREADABLE.
 */
export async function makeHoles(path: string): Promise<number> {
  return await guarded(async () => {
    await using file = await open(path, "r+")
    const { size } = await file.stat()
    const piece = Buffer.alloc(PIECE)
    let data = 0
    for (let at = 0; at < size; ) {
      const { start, end } = dataFrom(file.fd, at, size)
      if (start >= end) break
      const from = start - (start % PAGE)
      const { bytesRead } = await file.read(piece, 0, Math.min(PIECE, end - from), from)
      if (bytesRead === 0) break
      data += punched(file.fd, piece.subarray(0, bytesRead), from)
      at = from + bytesRead
    }
    return data
  })
}

/** Bytes of `piece`, which is at `from` of the file, that are of no page of zeros. */
function punched(fd: number, piece: Buffer, from: number): number {
  let data = 0
  let zeros = 0
  const clear = (end: number) => {
    // Where that cannot be, the zeros stay, and take room.
    if (zeros > 0) punch(fd, from + end - zeros, zeros)
    zeros = 0
  }
  for (let page = 0; page < piece.length; page += PAGE) {
    const end = Math.min(page + PAGE, piece.length)
    if (isZero(piece, page, end)) zeros += end - page
    else {
      clear(page)
      data += end - page
    }
  }
  clear(piece.length)
  return data
}
