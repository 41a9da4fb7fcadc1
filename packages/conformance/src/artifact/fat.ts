const SECTOR = 512
const SECTORS = 8192
const RESERVED = 1
const TABLES = 2
const TABLE = 32
const ROOT = RESERVED + TABLES * TABLE
const ENTRIES = 512
const DATA = ROOT + (ENTRIES * 32) / SECTOR
const FOLDER = 0x10
const LAST = 0xffff

/** A disk of 4 MiB that is one FAT16 file system, with a program where UEFI looks for one on removable media. */
export function efiDisk(program: Buffer): Buffer {
  const bytes = Buffer.alloc(SECTORS * SECTOR)
  bootSector(bytes)
  const [efi, boot, first] = [2, 3, 4]
  const clusters = Math.ceil(program.length / SECTOR)
  const chain = (cluster: number, next: number) => {
    for (let table = 0; table < TABLES; table++)
      bytes.writeUInt16LE(next, (RESERVED + table * TABLE) * SECTOR + 2 * cluster)
  }
  chain(0, 0xfff8)
  for (const one of [1, efi, boot]) chain(one, LAST)
  for (let at = 0; at < clusters; at++) chain(first + at, at + 1 < clusters ? first + at + 1 : LAST)
  const place = (cluster: number) => (DATA + cluster - 2) * SECTOR
  entry(bytes, ROOT * SECTOR, { name: "EFI", cluster: efi, attributes: FOLDER })
  folder(bytes, place(efi), [efi, 0])
  entry(bytes, place(efi) + 64, { name: "BOOT", cluster: boot, attributes: FOLDER })
  folder(bytes, place(boot), [boot, efi])
  entry(bytes, place(boot) + 64, { name: "BOOTX64 EFI", cluster: first, attributes: 0, size: program.length })
  program.copy(bytes, place(first))
  return bytes
}

function bootSector(bytes: Buffer): void {
  bytes.write("\u00eb\u003c\u0090suite   ", 0, "latin1")
  bytes.writeUInt16LE(SECTOR, 11)
  bytes.writeUInt8(1, 13)
  bytes.writeUInt16LE(RESERVED, 14)
  bytes.writeUInt8(TABLES, 16)
  bytes.writeUInt16LE(ENTRIES, 17)
  bytes.writeUInt16LE(SECTORS, 19)
  bytes.writeUInt8(0xf8, 21)
  bytes.writeUInt16LE(TABLE, 22)
  bytes.writeUInt16LE(32, 24)
  bytes.writeUInt16LE(2, 26)
  bytes.writeUInt8(0x80, 36)
  bytes.writeUInt8(0x29, 38)
  bytes.write("SUITE      FAT16   ", 43, "latin1")
  bytes.writeUInt16LE(0xaa55, 510)
}

interface Named {
  /** As in the directory: eight letters, and three. */
  readonly name: string
  readonly cluster: number
  readonly attributes: number
  readonly size?: number
}

function entry(bytes: Buffer, at: number, { name, cluster, attributes, size = 0 }: Named): void {
  bytes.write(name.padEnd(11), at, "latin1")
  bytes.writeUInt8(attributes, at + 11)
  bytes.writeUInt16LE(0x5c21, at + 24)
  bytes.writeUInt16LE(cluster, at + 26)
  bytes.writeUInt32LE(size, at + 28)
}

/** The two entries that a folder begins with: itself, and the one that it is in. */
function folder(bytes: Buffer, at: number, [own, above]: readonly [number, number]): void {
  entry(bytes, at, { name: ".", cluster: own, attributes: FOLDER })
  entry(bytes, at + 32, { name: "..", cluster: above, attributes: FOLDER })
}
