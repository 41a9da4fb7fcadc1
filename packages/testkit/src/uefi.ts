import { execFile } from "node:child_process"
import { existsSync } from "node:fs"
import { join } from "node:path"
import { promisify } from "node:util"
import { built } from "./built.ts"
import { guestMissing } from "./guest.ts"

const SOURCES = join(import.meta.dir, "efi")
const COMPILE = [
  ..."-Os -ffreestanding -fpie -mno-red-zone -mgeneral-regs-only -fno-stack-protector -fvisibility=hidden".split(
    " ",
  ),
  ..."-fcf-protection=none -fno-asynchronous-unwind-tables -fno-jump-tables -Wall -Wextra".split(" "),
]
const LINK = "-nostdlib -static --build-id=none --no-warn-rwx-segments -T efi.ld --oformat binary".split(" ")
const SIZE = 4 << 20

/** Why there is no disk that boots by UEFI here, or no firmware; empty if there are. */
export const uefiMissing =
  guestMissing ||
  (Bun.which("mformat") ? "" : "(skipped: mformat is not installed)") ||
  (existsSync("/usr/share/qemu/firmware") ? "" : "(skipped: ovmf is not installed)")

/**
 * Path of a raw disk that boots by UEFI alone: a FAT file system with the program of efi/boots.c where firmware looks
 * for one that nobody has told it of (UEFI 2.10, 3.5.1.1); made the first time that it is asked for.
 */
export function buildUefiDisk(): Promise<string> {
  return built("uefi.raw", SOURCES, [...COMPILE, ...LINK, `${SIZE}`], async (folder) => {
    const run = promisify(execFile)
    const at = (name: string) => join(folder, name)
    const sources = ["header.S", "boots.c"]
    for (const name of sources)
      await run("gcc", ["-c", ...COMPILE, "-o", at(`${name}.o`), name], { cwd: SOURCES })
    const objects = sources.map((name) => at(`${name}.o`))
    await run("ld", [...LINK, "-o", at("BOOTX64.EFI"), ...objects], { cwd: SOURCES })
    const disk = at("uefi.raw")
    await Bun.write(disk, Buffer.alloc(SIZE))
    await run("mformat", ["-i", disk, "-N", "6f766d73", "::"])
    await run("mmd", ["-i", disk, "::/EFI", "::/EFI/BOOT"])
    await run("mcopy", ["-i", disk, at("BOOTX64.EFI"), "::/EFI/BOOT/"])
  })
}
