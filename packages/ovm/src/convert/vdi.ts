import type { DiskReader } from "../disk/file.ts"

// VirtualBox's header (QEMU: block/vdi.c). QEMU holds the map against itself, and reads zeros beyond the end of a file.
const HEADER = 512
const [VERSION_AT, TYPE_AT] = [0x44, 0x4c]
const [MAP_AT, DATA_AT, SIZE_AT, BLOCK_AT, COUNT_AT] = [0x154, 0x158, 0x170, 0x178, 0x180]
/** Above: what is there of a disk since another one was left as it is. */
const FIXED = 2
/** Entries from here on stand for blocks that are not in the file. */
const FIRST_ABSENT = 0xfffffffe
/** Of the map, at a time: bytes. */
const AT_ONCE = 1024 * 1024

/** Why a VDI disk does not stand alone, or is not whole; undefined if it does. */
export async function vdiFault(disk: DiskReader): Promise<string | undefined> {
  const head = await disk.read(0, HEADER, "its header")
  const version = head.getUint32(VERSION_AT, true) >>> 16
  if (version > 1) return `is of version ${version}, which is not known`
  const [map, data, block, count] = [MAP_AT, DATA_AT, BLOCK_AT, COUNT_AT].map((at) =>
    head.getUint32(at, true),
  ) as [number, number, number, number]
  const size = Number(head.getBigUint64(SIZE_AT, true))
  if (head.getUint32(TYPE_AT, true) > FIXED)
    return "is what differs from another disk, which has the rest of its data"
  for (let from = 0; from < 4 * count; from += AT_ONCE) {
    const length = Math.min(AT_ONCE, 4 * count - from)
    const entries = await disk.read(map + from, length, "its block map")
    for (let at = 0; at < length; at += 4) {
      const place = entries.getUint32(at, true)
      if (place >= FIRST_ABSENT) continue
      const bytes = Math.min(block, size - ((from + at) / 4) * block)
      if (data + place * block + bytes > disk.size)
        return `is cut off: block ${(from + at) / 4} is behind its end`
    }
  }
  return undefined
}
