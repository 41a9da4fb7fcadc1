import { availableParallelism } from "node:os"
import { cpuGroups } from "../host/cgroup.ts"
import type { LaunchPlan } from "../vmm/plan.ts"
import type { InstanceInfo, Overrides } from "./interfaces.ts"
import type { Defaults } from "./limits.ts"

// How much of the host's processors a machine may have, and asks for.

/** What the start says wins over the operator (OVMS-API-290); a machine of which nobody says anything has no bound. */
export function quotaOf(overrides: Overrides, defaults: Defaults): Pick<LaunchPlan, "cpuQuota"> {
  const cpuQuota = overrides.cpuQuota ?? defaults.cpuQuota
  return cpuQuota === undefined ? {} : { cpuQuota }
}

/** Throws OVM_UNSUPPORTED where a machine is to be bounded, and this daemon cannot do that (OVMS-API-292). */
export function assertBoundable({ cpuQuota }: Pick<LaunchPlan, "cpuQuota">): void {
  if (cpuQuota !== undefined) cpuGroups()
}

/** What a status says of it. */
export function shownResources({
  resources,
  cpuQuota,
}: Pick<LaunchPlan, "resources" | "cpuQuota">): InstanceInfo["resources"] {
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
