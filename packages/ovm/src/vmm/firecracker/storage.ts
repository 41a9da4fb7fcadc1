import { accessSync, constants, existsSync, rmSync, writeFileSync } from "node:fs"
import { open } from "node:fs/promises"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { OvmError } from "../../errors.ts"
import { guarded } from "../../files/guarded.ts"
import type { MachineRecord } from "../machine.ts"
import { readExit, readStderr } from "../process/exit.ts"
import { endStray, isInhabited } from "../process/stray.ts"
import { findBinary } from "../program.ts"
import { diskChain } from "../qemu/drives.ts"
import { QMP_SOCKET } from "../qemu/qmp.ts"
import { FIRST, type GuestDrive } from "./drives.ts"

// Firecracker knows raw files alone. QEMU's storage daemon shows a chain of layers as one, over FUSE, so that what a
// guest writes stays a qcow2 (docs/design/0061-firecracker.md).

const PROGRAMS = ["qemu-storage-daemon", "setpriv", "unshare"] as const
const FUSE = "/dev/fuse"
/** In the machine's directory: what says that all disks are to be seen, which nobody but Firecracker does. */
const READY = "disk.pid"
const LOOK_MS = 5
const SHOW_MS = 60_000
/** From Firecracker's end to the disk's: what the guest wrote is brought to its file. */
const LET_GO_MS = 10_000

/** Why no chain can be shown here; undefined if it can. */
export function storageFault(env: Record<string, string | undefined> = process.env): string | undefined {
  if (process.getuid?.() !== 0) return "only a daemon of root shows layers to Firecracker"
  const lacking = PROGRAMS.find((name) => findBinary(name, undefined, env) === undefined)
  if (lacking !== undefined) return `layers are shown to Firecracker by ${lacking}, which is not on PATH`
  try {
    accessSync(FUSE, constants.R_OK | constants.W_OK)
    return undefined
  } catch {
    return `layers are shown to Firecracker over FUSE, and ${FUSE} cannot be used`
  }
}

/**
 * The command line that shows `drives`, and is `argv` then. The mounts are in a namespace of the two, and so are gone
 * with them, however they end; the storage daemon is told of its parent's end.
 */
export function besideStorage(
  argv: readonly string[],
  directory: string,
  drives: readonly GuestDrive[],
): string[] {
  for (const name of [READY, QMP_SOCKET]) rmSync(join(directory, name), { force: true })
  const options = drives.flatMap((drive) => shown(directory, drive))
  // By which a snapshot has it write to another file.
  const monitor = ["--chardev", `socket,id=qmp,path=${QMP_SOCKET},server=on,wait=off`, "--monitor", "qmp"]
  const storage = [PROGRAMS[0], ...options, ...monitor, "--pidfile", READY]
  const both = `setpriv --pdeathsig TERM ${storage.map(quoted).join(" ")} >&2 & exec "$@"`
  return ["unshare", "--mount", "--propagation", "private", "sh", "-c", both, "sh", ...argv]
}

/** What has the storage daemon show one. */
function shown(directory: string, { id, file, writable, chain }: GuestDrive): readonly string[] {
  if (!chain) return []
  const mountpoint = join(directory, file)
  rmSync(mountpoint, { force: true })
  writeFileSync(mountpoint, "", { mode: 0o600 })
  const { nodes, top } = diskChain(chain, writable ? chain.overlay : undefined, id === FIRST ? "" : `${id}-`)
  const fuse = { type: "fuse", id, "node-name": top, mountpoint, writable }
  return [
    ...nodes.map((word) => (word === "-blockdev" ? "--blockdev" : word)),
    ...["--export", JSON.stringify(fuse)],
  ]
}

/** Waits until all disks can be opened. Throws OVM_VMM_FAILED with the storage daemon's words, OVM_VMM_TIMEOUT. */
export async function storageReady(directory: string): Promise<void> {
  for (let waited = 0; waited < SHOW_MS; waited += LOOK_MS) {
    if (existsSync(join(directory, READY))) return
    const words = (await readStderr(directory)) ?? ""
    if (/^(?:qemu-storage-daemon|setpriv|unshare|sh): (?!.*warning)/m.test(words))
      throw new OvmError("OVM_VMM_FAILED", `the disk cannot be shown to Firecracker: ${words}`)
    if ((await readExit(directory)) !== undefined)
      throw new OvmError("OVM_VMM_FAILED", "Firecracker ended before its disk was there")
    await sleep(LOOK_MS)
  }
  throw new OvmError("OVM_VMM_TIMEOUT", `the disk was not shown to Firecracker within ${SHOW_MS} ms`)
}

/**
 * Has all that the guest wrote be in its files, for whoever reads them while the guest stands still. The disks are seen
 * in the namespace of `pid` alone. Throws what reading throws.
 */
export async function flushStorage(
  { directory, pid }: MachineRecord,
  files: readonly string[],
): Promise<void> {
  for (const file of files) {
    const disk = await guarded(() => open(`/proc/${pid}/root${join(directory, file)}`))
    try {
      await guarded(() => disk.sync())
    } finally {
      await disk.close()
    }
  }
}

/** Returns once nobody has the disk of a machine open whose Firecracker has ended. */
export async function storageLetGo(directory: string): Promise<void> {
  for (let waited = 0; waited < LET_GO_MS; waited += LOOK_MS) {
    if (!(await isInhabited(directory))) return
    await sleep(LOOK_MS)
  }
  await endStray(directory)
}

/** A word for sh that nothing in it can make anything else. */
function quoted(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`
}
