import type { Call } from "../../content/interfaces.ts"
import type { Machine, MachineRecord } from "../machine.ts"
import type { LaunchPlan, Unsupported } from "../plan.ts"
import type { Capabilities, Vmm } from "../vmm.ts"
import { adoptFirecracker } from "./adopt.ts"
import { firecrackerCapabilities } from "./capabilities.ts"
import { checkFirecracker } from "./check.ts"
import { isInstalled } from "./find.ts"
import { launchFirecracker } from "./launch.ts"

/** Firecracker ≥ 1.13. `cacheFolder` keeps what was found out about it, and kernels that were unpacked for it. */
export function firecracker(cacheFolder: string): Vmm {
  return new Firecracker(cacheFolder)
}

class Firecracker implements Vmm {
  readonly name = "firecracker"

  constructor(private readonly cacheFolder: string) {}

  installed(): boolean {
    return isInstalled()
  }

  capabilities(): Promise<Capabilities> {
    return firecrackerCapabilities(this.cacheFolder)
  }

  async check(plan: LaunchPlan): Promise<readonly Unsupported[]> {
    await this.capabilities()
    return checkFirecracker(plan)
  }

  async launch(plan: LaunchPlan, call?: Call): Promise<Machine> {
    const { cacheFolder } = this
    return await launchFirecracker(await this.capabilities(), { plan, cacheFolder }, call)
  }

  adopt(record: MachineRecord, call?: Call): Promise<Machine> {
    return adoptFirecracker(record, call)
  }
}
