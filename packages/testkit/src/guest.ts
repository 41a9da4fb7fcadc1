import { execFile, spawnSync } from "node:child_process"
import { createHash } from "node:crypto"
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from "node:fs"
import { join, resolve } from "node:path"
import { promisify } from "node:util"

const SOURCES = join(import.meta.dir, "guest")
const CACHE = resolve(import.meta.dir, "../../../.cache/guest")
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

/** Path of the bare-metal guest (guest/README.md), an ELF kernel; built the first time that it is asked for. */
export async function buildGuest(): Promise<string> {
  const names = readdirSync(SOURCES).sort()
  const digest = createHash("sha256").update([...COMPILE, ...LINK].join(" "))
  for (const name of names) digest.update(name).update(readFileSync(join(SOURCES, name)))
  const path = join(CACHE, `guest-${digest.digest("hex").slice(0, 16)}.elf`)
  if (existsSync(path)) return path

  // Another process may build at the same time: each in a folder of its own, and the file is renamed into place.
  const work = join(CACHE, `build-${process.pid}`)
  mkdirSync(work, { recursive: true })
  try {
    const run = promisify(execFile)
    const code = names.filter((name) => /\.[cS]$/.test(name))
    const objects = code.map((name) => join(work, `${name}.o`))
    for (const [index, name] of code.entries())
      await run("gcc", ["-c", ...COMPILE, "-o", objects[index] ?? "", name], { cwd: SOURCES })
    await run("ld", [...LINK, "-o", join(work, "guest.elf"), ...objects], { cwd: SOURCES })
    renameSync(join(work, "guest.elf"), path)
    return path
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}
