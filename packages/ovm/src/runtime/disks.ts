import { existsSync } from "node:fs"
import { join } from "node:path"
import { OvmError } from "../errors.ts"
import type { PreparedDisk } from "../images/prepared.ts"
import type { LaunchPlan } from "../vmm/plan.ts"
import type { InstanceInfo } from "./interfaces.ts"

type Disks = NonNullable<InstanceInfo["disks"]>

/** What a status says of the machine's own disks: the first has no name (OVMS-API-272). */
export function shownDisks({ disk, disks = [] }: LaunchPlan): Disks {
  return [
    ...(disk ? [{ size: disk.size, read_only: !disk.writable }] : []),
    ...disks.map(({ name, size, overlay }) => ({ name, size, read_only: overlay === undefined })),
  ]
}

/** What the guest writes to the first disk goes to until there is a snapshot, in the instance's directory. */
export function firstOverlay(directory: string): string {
  return join(directory, "overlay.qcow2")
}

/** What the guest writes to a further disk goes to, in the instance's directory. */
export function furtherOverlay(directory: string, name: string): string {
  return join(directory, `disk-${name}.qcow2`)
}

/** What was written to further disks, by their names; `disks` are those of the image. */
export function furtherWritten(directory: string, disks: readonly PreparedDisk[]): Map<string, string> {
  const overlays = disks.map(({ name }) => [name, furtherOverlay(directory, name)] as const)
  return new Map(overlays.filter(([, path]) => existsSync(path)))
}

/** Where the variables of its UEFI firmware are, in the instance's directory. */
export function ownVariables(directory: string): string {
  return join(directory, "firmware-variables.fd")
}

/** The same, if it has some by now. */
export function variablesWritten(directory: string): string | undefined {
  const path = ownVariables(directory)
  return existsSync(path) ? path : undefined
}

/** Throws OVM_UNSUPPORTED for a machine that can write to a disk beside its first (OVMS-SNP-163). */
export function refuseFurther(disks: Disks = []): void {
  const further = disks.find(({ name, read_only }) => name !== undefined && !read_only)
  if (!further) return
  throw new OvmError(
    "OVM_UNSUPPORTED",
    `the machine can write to its disk ${further.name}, which no snapshot would have`,
    { detail: [{ pointer: "disks", reason: `${further.name} is not read-only` }] },
  )
}
