import { existsSync } from "node:fs"
import { join } from "node:path"
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

/** Further disks that its guest can write to, by name, in order. */
export function furtherWritable(disks: Disks = []): string[] {
  return disks.flatMap(({ name, read_only }) => (name === undefined || read_only ? [] : [name]))
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
