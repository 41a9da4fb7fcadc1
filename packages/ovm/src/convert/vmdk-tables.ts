import type { DiskReader } from "../disk/file.ts"

// VMware's "Virtual Disk Format 5.0", "Hosted Sparse Extent Metadata". QEMU reads zeros where a directory, a table or
// the end of a grain is behind the end of the file.
const SECTOR = 512
const [FLAGS_AT, CAPACITY_AT, GRAIN_AT, ENTRIES_AT, DIRECTORY_AT] = [8, 12, 20, 44, 56]
const [ZEROED_GRAINS, COMPRESSED] = [4, 0x10000]
/** The directory is where the footer says, which is the last but one of its sectors. */
const IN_FOOTER = 0xffff_ffff_ffff_ffffn
const MOST_TABLES = 2 ** 20
/** What every program writes has 512. */
const MOST_ENTRIES = 512

/** Why what the header `own` of a sparse VMDK leads to is not all in the file; undefined if it is. */
export async function tablesFault(disk: DiskReader, own: DataView): Promise<string | undefined> {
  const inFooter = own.getBigUint64(DIRECTORY_AT, true) === IN_FOOTER
  const head = inFooter ? await disk.read(disk.size - 2 * SECTOR, SECTOR, "its footer") : own
  const [capacity, grain, directory] = [CAPACITY_AT, GRAIN_AT, DIRECTORY_AT].map((at) =>
    Number(head.getBigUint64(at, true)),
  ) as [number, number, number]
  const entries = head.getUint32(ENTRIES_AT, true)
  const flags = head.getUint32(FLAGS_AT, true)
  if (entries === 0 || entries > MOST_ENTRIES || grain === 0) return "has a header that says what cannot be"
  const tables = Math.ceil(capacity / (entries * grain))
  if (tables > MOST_TABLES) return `has ${tables} grain tables`
  const places = await disk.read(directory * SECTOR, tables * 4, "its grain directory")
  // Hostile ones may lead to one table a million times.
  const seen = new Set<number>()
  for (let index = 0; index < tables; index++) {
    const place = places.getUint32(4 * index, true)
    if (place === 0 || seen.has(place)) continue
    seen.add(place)
    const table = await disk.read(place * SECTOR, entries * 4, "a grain table")
    // QEMU says itself what cannot be inflated.
    if (flags & COMPRESSED) continue
    for (let entry = 0; entry < entries; entry++) {
      const at = table.getUint32(4 * entry, true)
      if (at === 0 || (at === 1 && flags & ZEROED_GRAINS)) continue
      const first = (index * entries + entry) * grain
      const sectors = Math.min(grain, capacity - first)
      if (sectors > 0 && (at + sectors) * SECTOR > disk.size)
        return `is cut off: the grain of sector ${first} is behind its end`
    }
  }
  return undefined
}
