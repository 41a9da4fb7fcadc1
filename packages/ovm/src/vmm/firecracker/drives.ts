import { rmSync, symlinkSync, truncateSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { OvmError, toOvmError } from "../../errors.ts"
import { guardedSync } from "../../files/guarded.ts"
import type { LaunchPlan } from "../plan.ts"
import type { Api } from "./api.ts"
import { SHOWN } from "./storage.ts"

/** In the machine's directory, as the first disk is. */
const FIRST_BOOT = "first-boot.raw"

/** The path of a first disk that is as Firecracker takes it; undefined if there is none, or it has to be shown. */
export function plainDisk({ disk }: LaunchPlan): string | undefined {
  const [only, ...others] = disk?.layers ?? []
  if (!only || others.length > 0 || disk?.writable || !("path" in only) || only.format !== "raw")
    return undefined
  return only.path
}

/** Whether the first disk is a chain, or can be written to: what only the storage daemon makes one file of. */
export function isShown(plan: LaunchPlan): boolean {
  return plan.disk !== undefined && plainDisk(plan) === undefined
}

/**
 * Has the disks that need not be shown be in the machine's directory too: a snapshot has their paths in it, and its
 * clones have disks of their own by the same ones. `firstBoot`: bytes of what a clone has read, which sees as many
 * zeros (OVMS-FBC-007). Throws what the system says.
 */
export function placeDrives(plan: LaunchPlan, firstBoot?: number): void {
  const plain = plainDisk(plan)
  if (plain !== undefined) place(plan, plain, SHOWN)
  if (plan.firstBoot) place(plan, plan.firstBoot.path, FIRST_BOOT)
  else if (firstBoot !== undefined)
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

/** Attaches the disks in the order in which guests find them (OVMS-GST-030). */
export async function attachDrives(api: Api, plan: LaunchPlan): Promise<void> {
  const { disk, firstBoot } = plan
  if (disk)
    await attach(api, "disk", {
      path_on_host: SHOWN,
      is_read_only: !disk.writable,
      // Whether a guest's flushes reach the host's disk is the storage daemon's affair: what a guest sees is the same.
      cache_type: disk.writable ? "Writeback" : "Unsafe",
    })
  if (firstBoot) await attach(api, "first_boot", { path_on_host: FIRST_BOOT, is_read_only: true })
}

/** None is the root device: what is said to the kernel is in the machine's arguments. */
async function attach(api: Api, id: string, drive: Readonly<Record<string, unknown>>): Promise<void> {
  await api.ask("PUT", `/drives/${id}`, { drive_id: id, is_root_device: false, ...drive })
}
