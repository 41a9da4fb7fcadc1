import { rmSync, symlinkSync, truncateSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { OvmError, toOvmError } from "../../errors.ts"
import { guardedSync } from "../../files/guarded.ts"
import type { DiskPlan, LaunchPlan } from "../plan.ts"
import type { Api } from "./api.ts"

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
  /** A raw file that is given as it is. */
  readonly path?: string
  /** What only the storage daemon makes one file of: layers, and a qcow2 for what the guest writes. */
  readonly chain?: Pick<DiskPlan, "layers" | "ephemeral" | "overlay">
}

/** Those of a new machine in the order in which guests find them (OVMS-GST-030); `overlay` is the first disk's. */
export function drivesOf(plan: LaunchPlan, overlay?: string): readonly GuestDrive[] {
  const { disk, disks = [], firstBoot, volumes = [] } = plan
  return [
    ...(disk ? [ownDrive(FIRST, { ...disk, ...(overlay && { overlay }) }, disk.writable)] : []),
    ...disks.map((further, at) => ownDrive(`disk${at + 1}`, further, further.overlay !== undefined)),
    ...(firstBoot ? [{ id: "first_boot", file: FIRST_BOOT, writable: false, path: firstBoot.path }] : []),
    ...volumes.map(({ path, readOnly }, at) => {
      const id = `volume${at + 1}`
      return { id, file: `${id}.raw`, writable: !readOnly, path }
    }),
  ]
}

function ownDrive(id: string, chain: NonNullable<GuestDrive["chain"]>, writable: boolean): GuestDrive {
  const [only, ...others] = chain.layers
  const isPlain = only && others.length === 0 && !writable && "path" in only && only.format === "raw"
  return { id, file: `${id}.raw`, writable, ...(isPlain ? { path: only.path } : { chain }) }
}

/**
 * Has the disks that need not be shown be in the machine's directory too: a snapshot has their paths in it, and its
 * clones have disks of their own by the same ones. `firstBoot`: bytes of what a clone has read, which sees as many
 * zeros (OVMS-FBC-007). Throws what the system says.
 */
export function placeDrives(plan: LaunchPlan, firstBoot?: number): void {
  for (const { path, file } of drivesOf(plan)) if (path !== undefined) place(plan, path, file)
  if (!plan.firstBoot && firstBoot !== undefined)
    guardedSync(() => {
      const path = join(plan.directory, FIRST_BOOT)
      rmSync(path, { force: true })
      writeFileSync(path, "", { mode: 0o600 })
      truncateSync(path, firstBoot)
    })
}

/** Has `target` be in the machine's directory by the name `name`. Throws OVM_VMM_FAILED. */
export function place({ directory }: LaunchPlan, target: string, name: string): void {
  const path = join(directory, name)
  try {
    rmSync(path, { force: true })
    symlinkSync(target, path)
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
