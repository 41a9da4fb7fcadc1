import type { DiskReader } from "../disk/file.ts"

// QEMU: docs/interop/qcow2.txt, "Header".
const HEADER = 104
const NEWEST = 3
const [DIRTY, CORRUPT, EXTERNAL, COMPRESSION, EXTENDED_L2] = [1n, 2n, 4n, 8n, 16n]
const KNOWN = DIRTY | CORRUPT | EXTERNAL | COMPRESSION | EXTENDED_L2

/** Why a qcow2 disk does not stand alone, or cannot be read; undefined if it does. Internal snapshots do no harm. */
export async function qcow2Fault(disk: DiskReader): Promise<string | undefined> {
  const head = await disk.read(0, Math.min(HEADER, disk.size), "its header")
  if (head.byteLength < HEADER && head.getUint32(4) > 2) return "its header is truncated"
  if (head.getUint32(4) > NEWEST) return `is of version ${head.getUint32(4)}, which is not known`
  if (head.getBigUint64(8) !== 0n) return "has a backing file: its data is in other files as well"
  if (head.getUint32(32) !== 0) return "is encrypted"
  if (head.getUint32(4) < 3) return undefined
  const features = head.getBigUint64(72)
  if (features & EXTERNAL) return "has its data in another file"
  if (features & CORRUPT) return "is marked as corrupt: qemu-img check -r all"
  if (features & ~KNOWN) return `has features that are not known: 0x${(features & ~KNOWN).toString(16)}`
  return undefined
}

/** How many internal snapshots it has. */
export async function snapshotsIn(disk: DiskReader): Promise<number> {
  return (await disk.read(60, 4, "its header")).getUint32(0)
}
