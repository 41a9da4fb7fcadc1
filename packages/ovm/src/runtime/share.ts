import { availableParallelism } from "node:os"
import { OvmError } from "../errors.ts"
import { groupPlaces } from "../host/cgroup.ts"
import type { Bounds } from "../host/cgroup-bounds.ts"
import type { LaunchPlan } from "../vmm/plan.ts"
import type { InstanceInfo, Overrides } from "./interfaces.ts"
import type { Defaults, Limits } from "./limits.ts"

// How much of the host a machine may have, and asks for.

/**
 * What bounds a machine of `memory` bytes: of processor time what the start says before what the operator does
 * (OVMS-API-290), of all else what the operator does. A machine of which nobody says anything has no bound.
 */
export function boundsOf(overrides: Overrides, defaults: Defaults, memory: number): Bounds {
  const cpuQuota = overrides.cpuQuota ?? defaults.cpuQuota
  const { memoryOverhead, pids, cpuWeight, ioWeight } = defaults.machine ?? {}
  return {
    ...(cpuQuota !== undefined && { cpuQuota }),
    ...(memoryOverhead !== undefined && { memory: memory + memoryOverhead }),
    ...(pids !== undefined && { pids }),
    ...(cpuWeight !== undefined && { cpuWeight }),
    ...(ioWeight !== undefined && { ioWeight }),
  }
}

/** Throws OVM_UNSUPPORTED for a machine that is to have more than its operator lets any have (OVMS-LIM-024). */
export function assertAllowed(
  { resources: { vcpus, memory }, bounds }: Pick<LaunchPlan, "resources" | "bounds">,
  { machine }: Limits,
): void {
  for (const [pointer, asked, most] of [
    ["vcpus", vcpus, machine.vcpus],
    ["memory", memory, machine.memory],
    ["cpuQuota", bounds?.cpuQuota, machine.cpuQuota],
  ] as const) {
    if (asked === undefined || most === undefined || asked <= most) continue
    const reason = `${asked} is more than the ${most} that limits.machine.${pointer} lets a machine have`
    throw new OvmError("OVM_UNSUPPORTED", `${pointer}: ${reason}`, {
      detail: [{ pointer, reason }],
      hint: "ovm info names the operator's file, daemon.json",
    })
  }
}

/** Throws OVM_UNSUPPORTED where a machine is to be bounded, and this daemon cannot do that (OVMS-API-292). */
export function assertBoundable(bounds: Bounds): void {
  groupPlaces(bounds)
}

/** What a status says of it. */
export function shownResources({
  resources,
  bounds: { cpuQuota } = {},
}: Pick<LaunchPlan, "resources" | "bounds">): InstanceInfo["resources"] {
  return { ...resources, ...(cpuQuota !== undefined && { cpu_quota: cpuQuota }) }
}

/** What is to be said of a machine that has more processors than its host, which runs them in turns. */
export function crowded({ resources: { vcpus } }: LaunchPlan): readonly string[] {
  const own = availableParallelism()
  return vcpus > own
    ? [
        `/resources/vcpus: ${vcpus} virtual processors share the ${own} of this host, and often wait for each other`,
      ]
    : []
}
