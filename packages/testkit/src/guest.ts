import { execFile, spawnSync } from "node:child_process"
import { readdirSync } from "node:fs"
import { join } from "node:path"
import { promisify } from "node:util"
import { built } from "./built.ts"

const SOURCES = join(import.meta.dir, "guest")
const COMPILE = [
  ..."-Os -ffreestanding -fno-pic -fno-pie -mno-red-zone -mgeneral-regs-only -fno-stack-protector".split(" "),
  ..."-fcf-protection=none -fno-asynchronous-unwind-tables -mcmodel=small -Wall -Wno-main".split(" "),
]
const LINK =
  "-nostdlib -static -z max-page-size=4096 --build-id=none --no-warn-rwx-segments -T guest.ld".split(" ")

/** Why the guest cannot be built here; empty if it can. Tests that need it skip and print this. */
export const guestMissing =
  spawnSync("gcc", ["--version"]).status === 0 && spawnSync("ld", ["--version"]).status === 0
    ? ""
    : "(skipped: gcc and ld are not installed)"

/** What it says of a disk that has not kept what it wrote, on a console that may end in the middle of a word. */
export const DISK_FAULT = /DISK-(?!ID |I?$|ID$)/

/** Path of the bare-metal guest (guest/README.md), an ELF kernel; built the first time that it is asked for. */
export function buildGuest(): Promise<string> {
  return built("guest.elf", SOURCES, [...COMPILE, ...LINK], async (folder) => {
    const run = promisify(execFile)
    const code = readdirSync(SOURCES).filter((name) => /\.[cS]$/.test(name))
    const objects = code.sort().map((name) => join(folder, `${name}.o`))
    for (const [index, name] of code.entries())
      await run("gcc", ["-c", ...COMPILE, "-o", objects[index] ?? "", name], { cwd: SOURCES })
    await run("ld", [...LINK, "-o", join(folder, "guest.elf"), ...objects], { cwd: SOURCES })
  })
}
