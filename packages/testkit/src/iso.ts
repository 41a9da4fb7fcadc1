import { execFile } from "node:child_process"
import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { promisify } from "node:util"
import { writeBootDisk } from "./bios.ts"
import { buildUefiDisk, uefiMissing } from "./uefi.ts"

const SECTOR = 512
/** Of an ISO 9660, before its first descriptor: what boots it as a disk (ECMA-119, 6.2.1). */
const SYSTEM_AREA = 32 * 1024
/** Where the first partition of an MBR is told of, and the type of an EFI system partition. */
const [ENTRY_AT, ESP] = [446, 0xef]

/** Why there is no image of a CD-ROM here that boots as a disk; empty if there is. */
export const isoMissing =
  uefiMissing || (Bun.which("genisoimage") ? "" : "(skipped: genisoimage is not installed)")

/** Writes an image of a CD-ROM that boots from nothing. */
export async function writeIso(path: string): Promise<void> {
  await write(path, async (folder) => await writeFile(join(folder, "readme"), "a CD-ROM\n"))
}

/**
 * Writes an image of a CD-ROM that boots as a disk too, as those of Linux distributions do: by BIOS the sector of
 * writeBootDisk, by UEFI the program of buildUefiDisk, in a file that is a partition as well.
 */
export async function writeHybridIso(path: string): Promise<void> {
  await write(
    path,
    async (folder) => await copyFile(await buildUefiDisk(), join(folder, "efi.img")),
    async (area) => {
      await writeBootDisk(area)
      return ["-G", area]
    },
  )
  const iso = await readFile(path)
  const partition = await readFile(await buildUefiDisk())
  const at = iso.indexOf(partition.subarray(0, SECTOR), SYSTEM_AREA)
  iso.fill(0, ENTRY_AT, ENTRY_AT + 64)
  iso.writeUInt8(ESP, ENTRY_AT + 4)
  iso.writeUInt32LE(at / SECTOR, ENTRY_AT + 8)
  iso.writeUInt32LE(partition.length / SECTOR, ENTRY_AT + 12)
  await writeFile(path, iso)
}

async function write(
  path: string,
  fill: (folder: string) => Promise<void>,
  options: (area: string) => Promise<string[]> = async () => [],
): Promise<void> {
  const work = await mkdtemp(join(tmpdir(), "ovm-iso-"))
  try {
    const folder = join(work, "files")
    await mkdir(folder)
    await fill(folder)
    const more = await options(join(work, "area"))
    await promisify(execFile)("genisoimage", ["-quiet", "-r", ...more, "-o", path, folder])
  } finally {
    await rm(work, { recursive: true })
  }
}
