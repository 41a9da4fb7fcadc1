import type { DiskReader } from "../disk/file.ts"

const FOOTER = 512
const [SIZE_AT, TYPE_AT] = [48, 60]
const [FIXED, DIFFERENCING] = [2, 4]
const COOKIE = "conectix"

/** Why a VHD disk does not stand alone, or is not whole; undefined if it does. Its footer is the last of it. */
export async function vhdFault(disk: DiskReader): Promise<string | undefined> {
  // Old programs wrote 511 bytes of it.
  for (const length of [FOOTER, FOOTER - 1]) {
    if (disk.size < length) continue
    const footer = await disk.read(disk.size - length, length, "its footer")
    if (Buffer.from(footer.buffer, footer.byteOffset, COOKIE.length).toString("latin1") !== COOKIE) continue
    const type = footer.getUint32(TYPE_AT)
    if (type === DIFFERENCING) return "is what differs from another disk, which has the rest of its data"
    const cut = type === FIXED && footer.getBigUint64(SIZE_AT) > BigInt(disk.size - length)
    return cut
      ? `is cut off: ${disk.size - length} of ${footer.getBigUint64(SIZE_AT)} bytes are there`
      : undefined
  }
  return "is cut off: it has no footer at its end"
}
