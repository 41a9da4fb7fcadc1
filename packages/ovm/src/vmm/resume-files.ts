import { accessSync, constants, statSync } from "node:fs"
import { sizeOfDisk } from "../disk/size.ts"
import { OvmError } from "../errors.ts"
import { guardedSync } from "../files/guarded.ts"
import type { GuestModel, RamFile, RamSource, ResumePlan, SnapshotOrigin } from "./plan.ts"

// What of a snapshot's files a VMM would not notice, or not until it is too late.

/** Whatever else there is has been refused by the adapter's check. */
export function fileOf(ram: RamSource): RamFile {
  if ("path" in ram) return ram
  throw new OvmError("OVM_INTERNAL", "RAM that is served came as far as the VMM")
}

/**
 * QEMU would make a file that is missing, fill up one that is short, and leave a dead guest on one that it cannot write
 * to. Throws OVM_SIZE_MISMATCH, OVM_FILE_UNREADABLE, OVM_PERMISSION_DENIED.
 */
export function checkRam(ram: string, model: GuestModel): void {
  const found = guardedSync(() => statSync(ram))
  if (!found.isFile() || found.size !== model.memory)
    throw new OvmError(
      "OVM_SIZE_MISMATCH",
      `${ram}: the snapshot's RAM has ${found.size} bytes, the machine has ${model.memory}`,
    )
  guardedSync(() => accessSync(ram, constants.R_OK | constants.W_OK))
}

/**
 * VMMs take a disk of any size for the guest's own. What is served has the size that the plan says. Throws
 * OVM_DISK_INVALID, and what reading throws.
 */
export async function checkDisk({ disk, origin }: ResumePlan): Promise<void> {
  if (!disk) return
  refuseOtherSize("the plan's disk", disk.size, origin)
  const top = disk.layers.at(-1)
  if (!top || !("path" in top)) return
  refuseOtherSize(`${top.path}: the disk`, await sizeOfDisk(top), origin)
}

function refuseOtherSize(what: string, size: number, { diskSize }: SnapshotOrigin): void {
  if (size === diskSize) return
  throw new OvmError(
    "OVM_DISK_INVALID",
    `${what} has ${size} bytes, the snapshot's had ${diskSize ?? "none"}`,
  )
}
