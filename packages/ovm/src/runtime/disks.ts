import { OvmError } from "../errors.ts"
import type { LaunchPlan } from "../vmm/plan.ts"
import type { InstanceInfo } from "./interfaces.ts"

type Disks = NonNullable<InstanceInfo["disks"]>

/** What a status says of the machine's own disks: the first has no name (OVMS-API-272). */
export function shownDisks({ disk, disks = [] }: LaunchPlan): Disks {
  return [
    ...(disk ? [{ size: disk.size, read_only: !disk.writable }] : []),
    ...disks.map(({ name, size, writable }) => ({ name, size, read_only: !writable })),
  ]
}

/**
 * Throws OVM_UNSUPPORTED for a machine that can write to a disk beside its first: `what` would not have that
 * (OVMS-SNP-163, OVMS-API-273).
 */
export function refuseFurther(disks: Disks = [], what: string): void {
  const further = disks.find(({ name, read_only }) => name !== undefined && !read_only)
  if (!further) return
  throw new OvmError("OVM_UNSUPPORTED", `the machine can write to its disk ${further.name}, which ${what}`, {
    detail: [{ pointer: "disks", reason: `${further.name} is not read-only` }],
  })
}
