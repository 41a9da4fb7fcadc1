import { OvmError } from "../../errors.ts"
import type { LaunchPlan, VolumePlan } from "../plan.ts"

/** QEMU: block/file-posix.c, raw_check_lock_bytes; its hint names the file. */
const LOCKED = /Failed to get .*lock[\s\S]*Is another process using the image \[([^\]]+)\]/

/**
 * What QEMU says where another process has a volume of `plan`, as one that a runtime knows it by: OVM_VOLUME_IN_USE
 * (OVMS-VOL-010). Undefined for anything else that it says.
 */
export function lockedVolume({ volumes = [] }: LaunchPlan, words: string): OvmError | undefined {
  const path = LOCKED.exec(words)?.[1]
  const volume = volumes.find((one) => one.path === path)
  return volume && inUseElsewhere(volume)
}

/** OVM_VOLUME_IN_USE of one that another process has. */
export function inUseElsewhere({ serial, path }: VolumePlan): OvmError {
  return new OvmError("OVM_VOLUME_IN_USE", `another process has the volume ${serial}: ${path}`, {
    detail: { volume: serial },
  })
}
