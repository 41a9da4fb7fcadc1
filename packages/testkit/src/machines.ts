import { spawn } from "node:child_process"
import { once } from "node:events"
import { constants, existsSync, readFileSync } from "node:fs"
import { copyFile, mkdir, readFile } from "node:fs/promises"
import { basename, join, resolve } from "node:path"

// Machines of Debian's packages, as scripts/ make them: by whoever of the tests is the first to need one, while others
// run.

const ROOT = resolve(import.meta.dir, "../../..")

/** The folder of the demo machine, and what is packed of it. */
export const MACHINE = join(ROOT, ".cache/machine")
/** A kernel that is unpacked already. */
export const KERNEL = join(MACHINE, "vmlinux")
/** The initrd of a machine that has nothing but a network. */
export const NET = join(MACHINE, "net.img")
/** What a kernel of Debian is told, so that it comes up soon: scripts/machine.sh says what that leaves out. */
export const KERNEL_ARGS = `console=ttyS0 quiet panic=-1 ${readFileSync(join(ROOT, "scripts/machine/quick"), "utf8").trim()}`
/** The pack source of the demo machine with that kernel: it boots in half the time. */
export const UNPACKED = join(MACHINE, "unpacked.json")
/** The pack source of the Debian server. */
export const SERVER = join(ROOT, ".cache/server/machine.json")

/** That pack source with its files, copied to `folder`: for a user who may not read where this clone is. */
export async function unpackedIn(folder: string): Promise<string> {
  const { kernel, initrd, diskLayers } = JSON.parse(await readFile(UNPACKED, "utf8"))
  await mkdir(folder)
  for (const name of [kernel.path, initrd.path, ...diskLayers.map(({ path }: { path: string }) => path)])
    await copyFile(join(MACHINE, name), join(folder, name), constants.COPYFILE_FICLONE)
  const source = join(folder, basename(UNPACKED))
  await copyFile(UNPACKED, source)
  return source
}

/** Makes the demo machine unless it is there. Why it cannot be booted here; empty if it can. */
export async function machineMissing(): Promise<string> {
  return noQemu() || (await missing("machine", "the demo machine is not built (make machine)"))
}

/** The same for the Debian server, which takes minutes. */
export async function serverMissing(): Promise<string> {
  return noQemu() || (await missing("server", "the Debian server is not built (make server, as root)"))
}

const noQemu = () => (Bun.which("qemu-system-x86_64") ? "" : "qemu-system-x86_64 is not installed")

async function missing(name: "machine" | "server", reason: string): Promise<string> {
  const child = spawn(join(ROOT, `scripts/${name}.sh`), { stdio: ["ignore", "inherit", "inherit"] })
  const [status] = await once(child, "exit")
  if (status !== 0) throw new Error(`scripts/${name}.sh ended with status ${status}`)
  return existsSync(join(ROOT, `.cache/${name}/machine.json`)) ? "" : reason
}
