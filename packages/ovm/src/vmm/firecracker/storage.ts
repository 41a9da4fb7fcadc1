import { accessSync, constants, existsSync, lchownSync, rmSync, writeFileSync } from "node:fs"
import { open } from "node:fs/promises"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { OvmError } from "../../errors.ts"
import { guarded, guardedSync } from "../../files/guarded.ts"
import { shellWord } from "../../host/shell-word.ts"
import type { MachineRecord } from "../machine.ts"
import type { LaunchPlan } from "../plan.ts"
import { readExit, readStderr } from "../process/exit.ts"
import { workplaceOf } from "../process/jailed.ts"
import { endStray, isInhabited } from "../process/stray.ts"
import { findBinary } from "../program.ts"
import { diskChain } from "../qemu/drives.ts"
import { inUseElsewhere } from "../qemu/locked.ts"
import { QMP_SOCKET } from "../qemu/qmp.ts"
import { FIRST, type GuestDrive } from "./drives.ts"
import { carryLog } from "./jail/command.ts"
import type { FirecrackerPlace, Jail } from "./jail/place.ts"

// Firecracker knows raw files alone. QEMU's storage daemon shows a chain of layers as one, over FUSE, so that what a
// guest writes stays a qcow2 (docs/design/0061-firecracker.md).

const PROGRAMS = ["qemu-storage-daemon", "setpriv", "unshare"] as const
const { O_RDONLY, O_NOFOLLOW } = constants
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
 * The command line that shows `drives`, if there are any, and is `argv` then. The mounts are in a namespace of the two,
 * and so are gone with them, however they end; the storage daemon is told of its parent's end.
 */
export function besideStorage(
  argv: readonly string[],
  directory: string,
  { drives, workplace }: { readonly drives: readonly GuestDrive[]; readonly workplace: FirecrackerPlace },
): string[] {
  const { folder, jail } = workplace
  for (const name of [READY, QMP_SOCKET]) rmSync(join(directory, name), { force: true })
  if (drives.length === 0) return jail ? shell(carryLog(folder), argv) : [...argv]
  const options = drives.flatMap((drive) => shown(workplace, drive))
  // By which a snapshot has it write to another file.
  const monitor = ["--chardev", `socket,id=qmp,path=${QMP_SOCKET},server=on,wait=off`, "--monitor", "qmp"]
  const storage = [PROGRAMS[0], ...options, ...monitor, "--pidfile", READY]
  const showing = `setpriv --pdeathsig TERM ${storage.map(shellWord).join(" ")}`
  if (!jail) return [...unshared("private"), ...shell(`${showing} >&2 &`, argv)]
  // The jailer has a namespace of its own again, which is to see what is mounted later.
  return [...unshared("private"), ...unshared("shared"), ...shell(carryLog(folder, showing), argv)]
}

/** Has a shell do something beside, and become `argv`. */
function shell(beside: string, argv: readonly string[]): string[] {
  return ["sh", "-c", `${beside} exec "$@"`, "sh", ...argv]
}

function unshared(propagation: string): readonly string[] {
  return ["unshare", "--mount", "--propagation", propagation]
}

/** What has the storage daemon show one. */
function shown({ folder, jail }: FirecrackerPlace, drive: GuestDrive): readonly string[] {
  const { id, file, writable } = drive
  const mountpoint = join(folder, file)
  rmSync(mountpoint, { force: true })
  writeFileSync(mountpoint, "", { mode: 0o600 })
  const { nodes, top } = nodesOf(drive)
  const fuse = {
    ...{ type: "fuse", id, "node-name": top, mountpoint, writable },
    ...(jail && { "allow-other": "on" }),
  }
  return [
    ...nodes.map((word) => (word === "-blockdev" ? "--blockdev" : word)),
    ...["--export", JSON.stringify(fuse)],
  ]
}

function nodesOf({ id, path, writable, chain, volume }: GuestDrive): ReturnType<typeof diskChain> {
  const name = id === FIRST ? "" : `${id}-`
  if (chain) return diskChain(chain, writable ? chain.overlay : undefined, name)
  const [file, alone, top] = [`${name}file`, `${name}alone`, `${name}raw`]
  const access = { "read-only": !writable, ...(writable && { discard: "unmap" }) }
  // What is exported lets others write: only this filter has QEMU's locks keep them off a volume (OVMS-VOL-010).
  const filter = { driver: "blkdebug", image: file, "node-name": alone, "unshare-child-perms": ["write"] }
  const nodes = [
    { driver: "file", filename: path, "node-name": file, ...access },
    ...(volume ? [{ ...filter, ...access }] : []),
    { driver: "raw", file: volume ? alone : file, "node-name": top, ...access },
  ]
  return { nodes: nodes.flatMap((node) => ["-blockdev", JSON.stringify(node)]), top }
}

/**
 * Has what is shown be the user's who is jailed with `pid`, before there is a guest. Throws what the system says.
 */
export function handOver(drives: readonly GuestDrive[], pid: number, { uid }: Jail): void {
  guardedSync(() => {
    for (const { file } of drives) lchownSync(`/proc/${pid}/root/${file}`, uid, uid)
  })
}

/** The storage daemon names the option that it cannot do, which has the drive's name; the file is said too late. */
const LOCKED = /qemu-storage-daemon: .*"(?:id|node-name)":"volume(\d+)\b.*: Failed to get .*lock/

/** OVM_VOLUME_IN_USE, if these words of the storage daemon are about a volume that another process has. */
export function volumeElsewhere({ volumes = [] }: LaunchPlan, words: string): OvmError | undefined {
  const volume = volumes[Number(LOCKED.exec(words)?.[1]) - 1]
  return volume && inUseElsewhere(volume)
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
    // In a jail that is all that there is.
    const inside = workplaceOf(directory) === directory ? join(directory, file) : `/${file}`
    const disk = await guarded(() => open(`/proc/${pid}/root${inside}`, O_RDONLY | O_NOFOLLOW))
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
