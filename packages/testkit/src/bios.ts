import { execFile } from "node:child_process"
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { promisify } from "node:util"

const SOURCE = join(import.meta.dir, "bios/sector.S")
const SECTOR = 512
/** As in bios/sector.S. */
const SECTORS = 512
const SIZE = 2 << 20

/** What its guest says first and last. */
export const DISK_BOOTS = "DISK-BOOT"
export const DISK_READ = "DISK-READ"

/**
 * Writes a raw disk that boots by BIOS, and has itself read sector by sector through INT 13h. Needs gcc and ld, as the
 * guest does.
 */
export async function writeBootDisk(path: string): Promise<void> {
  const work = await mkdtemp(join(tmpdir(), "ovm-bios-"))
  const [object, boot] = [join(work, "sector.o"), join(work, "sector.bin")]
  try {
    const run = promisify(execFile)
    await run("gcc", ["-c", "-o", object, SOURCE])
    await run("ld", ["-Ttext", "0x7c00", "--oformat", "binary", "-e", "start", "-o", boot, object])
    const disk = Buffer.alloc(SIZE)
    disk.set(await readFile(boot))
    for (let sector = 1; sector <= SECTORS; sector++)
      for (let at = 0; at < SECTOR; at += 2) disk.writeUInt16LE(sector, sector * SECTOR + at)
    await writeFile(path, disk)
  } finally {
    await rm(work, { recursive: true })
  }
}
