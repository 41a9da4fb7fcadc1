import { existsSync, renameSync, rmSync } from "node:fs"
import { join } from "node:path"
import { createOverlay } from "../disk/overlay.ts"
import { OvmError } from "../errors.ts"
import type { LaunchPlan } from "./plan.ts"

/** In the machine's directory. */
const OVERLAY = "overlay.qcow2"

/**
 * The qcow2 that the guest of `plan` writes to: that of an earlier life, or an empty one that is made; undefined where
 * it cannot write. Throws as createOverlay does, and OVM_FILE_UNREADABLE where there is one already.
 */
export async function makeOverlay({ directory, disk }: LaunchPlan): Promise<string | undefined> {
  if (!disk?.writable) return undefined
  if (disk.overlay !== undefined) return disk.overlay
  const path = join(directory, OVERLAY)
  if (existsSync(path)) throw new OvmError("OVM_FILE_UNREADABLE", `${path} is there already`)
  await makeWhole(path, disk.size)
  return path
}

/**
 * Makes what the guest's writes to its further disks go to, where it is not there from an earlier life. Each is there
 * whole or not at all. Throws as createOverlay does.
 */
export async function makeFurther({ disks = [] }: LaunchPlan): Promise<void> {
  for (const { overlay, size } of disks) {
    if (overlay === undefined || existsSync(overlay)) continue
    await makeWhole(overlay, size)
  }
}

/** Whatever ends this program, it is there whole or not at all. */
async function makeWhole(path: string, size: number): Promise<void> {
  const making = `${path}.making`
  rmSync(making, { force: true })
  await createOverlay(making, size)
  renameSync(making, path)
}
