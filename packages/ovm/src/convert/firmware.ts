import { ChainReader, withLayers } from "../disk/chain-reader.ts"

// A sector, where boot code and the table of an MBR are, and of a GPT its header and entries (UEFI 2.10, 5.2 and 5.3).
const SECTOR = 512
const BOOT_CODE = 440
const TABLE_AT = 446
const [MBR_ENTRIES, MBR_ENTRY] = [4, 16]
const MBR_ESP = 0xef
const ENTRY = 128
const MOST_ENTRIES = 128
/** C12A7328-F81F-11D2-BA4B-00A0C93EC93B, as it lies on the disk. */
const GPT_ESP = "28732ac11ff8d211ba4b00a0c93ec93b"

/** What an image of a CD-ROM has, and where (ECMA-119, 8.1.2). */
const [ISO, ISO_AT] = ["CD001", 32769]

/**
 * What boots the disk in the qcow2 `path`, and how that is known, in words. `driveAlone`: it is the image of a CD-ROM,
 * and boots from a drive for those if from anything.
 */
export async function firmwareOf(
  path: string,
): Promise<{ readonly firmware: "bios" | "uefi"; readonly why: string; readonly driveAlone?: boolean }> {
  return await withLayers([{ path, format: "qcow2" }], async (layers) => {
    const disk = new ChainReader(layers)
    const read = async (at: number, length: number) =>
      Buffer.from((await disk.read(at, length)) ?? new Uint8Array(length))
    const first = await read(0, SECTOR)
    if (first.subarray(0, BOOT_CODE).some((byte) => byte !== 0) && first.readUInt16LE(510) === 0xaa55)
      return { firmware: "bios", why: "its first sector has boot code" }
    const entries = Array.from({ length: MBR_ENTRIES }, (_, index) => first[TABLE_AT + index * MBR_ENTRY + 4])
    if (entries.includes(MBR_ESP) || (await hasSystemPartition(read)))
      return { firmware: "uefi", why: "it has an EFI system partition, and no boot code in its first sector" }
    const why = "it has neither boot code nor an EFI system partition"
    const driveAlone = (await read(ISO_AT, ISO.length)).toString("latin1") === ISO
    return { firmware: "bios", why, driveAlone }
  })
}

async function hasSystemPartition(read: (at: number, length: number) => Promise<Buffer>): Promise<boolean> {
  const header = await read(SECTOR, SECTOR)
  if (header.toString("latin1", 0, 8) !== "EFI PART") return false
  const [at, count, size] = [header.readBigUInt64LE(72), header.readUInt32LE(80), header.readUInt32LE(84)]
  if (size !== ENTRY || at > 2n ** 40n) return false
  const table = await read(Number(at) * SECTOR, Math.min(count, MOST_ENTRIES) * ENTRY)
  for (let entry = 0; entry < table.length; entry += ENTRY)
    if (table.toString("hex", entry, entry + 16) === GPT_ESP) return true
  return false
}
