import type { LaunchPlan } from "../plan.ts"
import type { Api } from "./api.ts"
import { SHOWN } from "./storage.ts"

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

/** Attaches the disks in the order in which guests find them (OVMS-GST-030). */
export async function attachDrives(api: Api, plan: LaunchPlan): Promise<void> {
  const { disk, firstBoot } = plan
  if (disk)
    await attach(api, "disk", {
      path_on_host: plainDisk(plan) ?? SHOWN,
      is_read_only: !disk.writable,
      // A guest's flushes reach the host's disk unless nobody needs them to.
      cache_type: disk.writable && !disk.ephemeral ? "Writeback" : "Unsafe",
    })
  if (firstBoot) await attach(api, "first_boot", { path_on_host: firstBoot.path, is_read_only: true })
}

/** None is the root device: what is said to the kernel is in the machine's arguments. */
async function attach(api: Api, id: string, drive: Readonly<Record<string, unknown>>): Promise<void> {
  await api.ask("PUT", `/drives/${id}`, { drive_id: id, is_root_device: false, ...drive })
}
