import { execFile } from "node:child_process"
import { existsSync } from "node:fs"
import { join } from "node:path"
import { promisify } from "node:util"
import { arm64Missing } from "./arm64.ts"
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

/** Why there is no firmware for arm64 here; empty if there is. */
export const arm64UefiMissing =
  arm64Missing ||
  uefiMissing ||
  (existsSync("/usr/share/AAVMF") ? "" : "(skipped: qemu-efi-aarch64 is not installed)")

/** Why nothing can be signed for it here: Debian's firmware comes with a test key, and variables that believe it. */
export const signingMissing =
  uefiMissing ||
  (Bun.which("sbsign") ? "" : "(skipped: sbsign is not installed)") ||
  (existsSync("/usr/share/ovmf/PkKek-1-snakeoil.key") ? "" : "(skipped: ovmf has no test key)")
/** Variables of firmware that believe the test key alone. */
export const TEST_VARIABLES = "/usr/share/OVMF/OVMF_VARS_4M.snakeoil.fd"
/** The same for arm64; its key is the same, too. */
export const ARM64_TEST_VARIABLES = "/usr/share/AAVMF/AAVMF_VARS.snakeoil.fd"
const TEST_KEY = "/usr/share/ovmf/PkKek-1-snakeoil"

const run = promisify(execFile)

/**
 * Path of a raw disk that boots by UEFI alone: a FAT file system with the program of efi/boots.c where firmware looks
 * for one that nobody has told it of (UEFI 2.10, 3.5.1.1); made the first time that it is asked for. `signed`: by the
 * test key.
 */
export async function buildUefiDisk({ signed = false } = {}): Promise<string> {
  const name = signed ? "uefi-signed.raw" : "uefi.raw"
  const program = await buildUefiProgram()
  return await built(name, SOURCES, [...COMPILE, ...LINK, `${SIZE}`], async (folder) => {
    const at = (name: string) => join(folder, name)
    await writeUefiDisk(at(name), signed ? await signForTests(program, at) : program)
  })
}

/** Writes such a disk to `disk`, whose program is the file `program`; `called` as firmware of its kind looks for it. */
export async function writeUefiDisk(disk: string, program: string, called = "BOOTX64.EFI"): Promise<void> {
  await Bun.write(disk, Buffer.alloc(SIZE))
  await run("mformat", ["-i", disk, "-N", "6f766d73", "::"])
  await run("mmd", ["-i", disk, "::/EFI", "::/EFI/BOOT"])
  await run("mcopy", ["-i", disk, program, `::/EFI/BOOT/${called}`])
}

/** Path of the program signed by the test key; `at` gives those of files that are made for that. */
export async function signForTests(program: string, at: (name: string) => string): Promise<string> {
  await run("openssl", ["rsa", "-in", `${TEST_KEY}.key`, "-passin", "pass:snakeoil", "-out", at("key")])
  await run("sbsign", ["--key", at("key"), "--cert", `${TEST_KEY}.pem`, "--output", at("signed"), program])
  return at("signed")
}

/** Path of that program. */
export function buildUefiProgram(): Promise<string> {
  return built("boots.efi", SOURCES, [...COMPILE, ...LINK], async (folder) => {
    const at = (name: string) => join(folder, name)
    const sources = ["header.S", "boots.c"]
    for (const name of sources)
      await run("gcc", ["-c", ...COMPILE, "-o", at(`${name}.o`), name], { cwd: SOURCES })
    const objects = sources.map((name) => at(`${name}.o`))
    await run("ld", [...LINK, "-o", at("boots.efi"), ...objects], { cwd: SOURCES })
  })
}
