import type { DiskReader } from "../disk/file.ts"
import { tablesFault } from "./vmdk-tables.ts"

// VMware's "Virtual Disk Format 5.0"; QEMU: block/vmdk.c. Extents, and a parent, are files that a descriptor names: one
// from a stranger could name any file of this host.
const SECTOR = 512
const [CAPACITY_AT, DESCRIPTOR_AT, DESCRIPTOR_SIZE_AT] = [12, 28, 36]
const NEWEST = 3
/** Most that VMware's own have. */
const MOST_DESCRIPTOR = 20 * SECTOR
const KINDS = /^\s*createType\s*=\s*"(monolithicSparse|streamOptimized)"/im

/** Why a VMDK disk does not stand alone, or is not whole; undefined if all of its data is in this one file. */
export async function vmdkFault(disk: DiskReader): Promise<string | undefined> {
  const head = await disk.read(0, Math.min(SECTOR, disk.size), "its header")
  const magic = textOf(head, 4)
  // Of ESX servers: one file without a descriptor.
  if (magic === "COWD") return undefined
  if (magic !== "KDMV") return "is a descriptor, whose data is in other files"
  if (head.byteLength < SECTOR) return "is cut off"
  if (head.getUint32(4, true) > NEWEST) return `is of version ${head.getUint32(4, true)}, which is not known`
  const [at, size] = [DESCRIPTOR_AT, DESCRIPTOR_SIZE_AT].map((field) =>
    Number(head.getBigUint64(field, true)),
  )
  if (head.getBigUint64(CAPACITY_AT, true) === 0n) return "names the files that its data is in"
  if (!at || !size) return await tablesFault(disk, head)
  if (size * SECTOR > MOST_DESCRIPTOR) return `has a descriptor of ${size} sectors`
  const descriptor = textOf(await disk.read(at * SECTOR, size * SECTOR, "its descriptor"))
  if (/parentFileNameHint/i.test(descriptor))
    return "is what differs from another disk, which has the rest of its data"
  if (!KINDS.test(descriptor)) return "is of several files, or of a kind that is not known"
  const extents = descriptor.match(/^\s*(RW|RDONLY|NOACCESS)\s/gim) ?? []
  if (extents.length !== 1) return `has ${extents.length} extents, which may be any files`
  return await tablesFault(disk, head)
}

function textOf(view: DataView, length = view.byteLength): string {
  return Buffer.from(view.buffer, view.byteOffset, length).toString("latin1")
}
