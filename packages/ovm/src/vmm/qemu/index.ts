import type { Vmm } from "../interfaces.ts"
import { adoptQemu } from "./adopt.ts"
import { qemuCapabilities } from "./capabilities.ts"
import { checkPlan } from "./check.ts"
import { checkResume } from "./check-resume.ts"
import { launchQemu } from "./launch.ts"
import { modelOf } from "./model.ts"

/** QEMU ≥ 7.2. `cacheFolder` keeps what was found out about it. */
export function qemu(cacheFolder: string): Vmm {
  return {
    name: "qemu",
    capabilities: () => qemuCapabilities(cacheFolder),
    check: checkPlan,
    launch: async (plan, call) => await launchQemu(await qemuCapabilities(cacheFolder), plan, call),
    adopt: adoptQemu,
    model: modelOf,
    checkResume,
    load: async (plan, call) => {
      const { loadQemu } = await import("./load.ts")
      return await loadQemu(await qemuCapabilities(cacheFolder), plan, call)
    },
  }
}
