import { chownSync, rmSync, symlinkSync, truncateSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { OvmError, toOvmError } from "../../errors.ts"
import { guardedSync } from "../../files/guarded.ts"
import type { DiskPlan, LaunchPlan } from "../plan.ts"
import type { Api } from "./api.ts"
import { canLink, give } from "./jail/give.ts"
import type { FirecrackerPlace } from "./jail/place.ts"

/** The first disk. */
export const FIRST = "disk"
/** In the machine's directory, as all disks are. */
const FIRST_BOOT = "first-boot.raw"

/** A disk of a machine. */
export interface GuestDrive {
  readonly id: string
  /** In the machine's directory. */
  readonly file: string
  readonly writable: boolean
  /** A raw file that is given as it is, unless it is shown. */
  readonly path?: string
  /** What only the storage daemon makes one file of: layers, and a qcow2 for what the guest writes. */
  readonly chain?: Pick<DiskPlan, "layers" | "ephemeral" | "overlay">
  /** One that other machines may have as well, and nobody while it is written to. */
  readonly volume?: boolean
  /** By the storage daemon, as what Firecracker opens. */
  readonly shown: boolean
}

interface DrivesOptions {
  /** The first disk's. */
  readonly overlay?: string | undefined
  /** In a jail. */
  readonly jailed?: boolean | undefined
}

/** Those of a new machine in the order in which guests find them (OVMS-GST-030). */
export function drivesOf(plan: LaunchPlan, { overlay, jailed }: DrivesOptions = {}): readonly GuestDrive[] {
  return unshown(plan, overlay).map((drive) => {
    const { chain, path, writable, file } = drive
    // Another user's file cannot be opened in a jail, unless everybody may read it.
    const isForeign =
      jailed && path !== undefined && file !== FIRST_BOOT && (writable || !canLink(path, plan.directory))
    return { ...drive, shown: chain !== undefined || isForeign === true }
  })
}

function unshown(plan: LaunchPlan, overlay?: string): readonly Omit<GuestDrive, "shown">[] {
  const { disk, disks = [], firstBoot, volumes = [] } = plan
  return [
    ...(disk ? [ownDrive(FIRST, { ...disk, ...(overlay && { overlay }) }, disk.writable)] : []),
    ...disks.map((further, at) => ownDrive(`disk${at + 1}`, further, further.overlay !== undefined)),
    ...(firstBoot ? [{ id: "first_boot", file: FIRST_BOOT, writable: false, path: firstBoot.path }] : []),
    ...volumes.map(({ path, readOnly }, at) => {
      const id = `volume${at + 1}`
      return { id, file: `${id}.raw`, writable: !readOnly, path, volume: true }
    }),
  ]
}

function ownDrive(
  id: string,
  chain: NonNullable<GuestDrive["chain"]>,
  writable: boolean,
): Omit<GuestDrive, "shown"> {
  const [only, ...others] = chain.layers
  const isPlain = only && others.length === 0 && !writable && "path" in only && only.format === "raw"
  return { id, file: `${id}.raw`, writable, ...(isPlain ? { path: only.path } : { chain }) }
}

/**
 * Has the disks that need not be shown be in the machine's directory too: a snapshot has their paths in it, and its
 * clones have disks of their own by the same ones. `firstBoot`: bytes of what a clone has read, which sees as many
 * zeros (OVMS-FBC-007). Throws what the system says.
 */
export function placeDrives(plan: LaunchPlan, workplace: FirecrackerPlace, firstBoot?: number): void {
  for (const { path, file, shown } of drivesOf(plan, { jailed: workplace.jail !== undefined }))
    if (path !== undefined && !shown) place(workplace, path, file)
  if (!plan.firstBoot && firstBoot !== undefined)
    guardedSync(() => {
      const path = join(workplace.folder, FIRST_BOOT)
      rmSync(path, { force: true })
      writeFileSync(path, "", { mode: 0o600 })
      truncateSync(path, firstBoot)
      if (workplace.jail) chownSync(path, workplace.jail.uid, workplace.jail.uid)
    })
}

/** Has `target` be where the machine's Firecracker works by the name `name`. Throws OVM_VMM_FAILED. */
export function place({ folder, jail }: FirecrackerPlace, target: string, name: string): void {
  const path = join(folder, name)
  try {
    rmSync(path, { force: true })
    if (jail) give(target, folder, name, jail)
    else symlinkSync(target, path)
  } catch (cause) {
    throw new OvmError("OVM_VMM_FAILED", `${path} could not be made: ${toOvmError(cause).message}`, { cause })
  }
}

/** None is the root device: what is said to the kernel is in the machine's arguments. */
export async function attachDrives(api: Api, plan: LaunchPlan): Promise<void> {
  for (const { id, file, writable } of drivesOf(plan))
    await api.ask("PUT", `/drives/${id}`, {
      ...{ drive_id: id, is_root_device: false, path_on_host: file, is_read_only: !writable },
      // Whether a guest's flushes reach the host's disk is the storage daemon's affair: what a guest sees is the same.
      cache_type: writable ? "Writeback" : "Unsafe",
    })
}
