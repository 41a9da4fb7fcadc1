import type { Call } from "../../content/interfaces.ts"
import type { Loaded, Loader, Loading } from "../loader.ts"
import type { Machine, MachineRecord } from "../machine.ts"
import type { LaunchPlan, ResumePlan, Unsupported } from "../plan.ts"
import type { Vmm } from "../vmm.ts"
import { adoptFirecracker } from "./adopt.ts"
import { agentInFirecracker } from "./agent.ts"
import { type FirecrackerCapabilities, firecrackerCapabilities } from "./capabilities.ts"
import { checkFirecracker } from "./check.ts"
import { checkLoad } from "./check-resume.ts"
import { isInstalled } from "./find.ts"
import { type JailSettings, UIDS } from "./jail/settings.ts"
import { launchFirecracker } from "./launch.ts"
import { modelOfFirecracker } from "./model.ts"
import { macInFirecracker } from "./network.ts"

/**
 * Firecracker ≥ 1.13. `cacheFolder` keeps what was found out about it, and kernels that were unpacked for it. Its
 * machines are jailed where that can be and `jail` is not false.
 */
export function firecracker(
  cacheFolder: string,
  jail: JailSettings = UIDS,
): Vmm & { readonly loader: Loader } {
  return new Firecracker(cacheFolder, jail)
}

class Firecracker implements Vmm {
  readonly name = "firecracker"
  readonly loader: Loader

  constructor(
    private readonly cacheFolder: string,
    private readonly jail: JailSettings,
  ) {
    this.loader = new FirecrackerLoader(() => this.capabilities())
  }

  installed(): boolean {
    return isInstalled()
  }

  capabilities(): Promise<FirecrackerCapabilities> {
    return firecrackerCapabilities(this.cacheFolder, this.jail)
  }

  async check(plan: LaunchPlan): Promise<readonly Unsupported[]> {
    const { jailer } = await this.capabilities()
    return checkFirecracker(plan, { jailed: jailer !== undefined })
  }

  async launch(plan: LaunchPlan, call?: Call): Promise<Machine> {
    const { cacheFolder } = this
    return await launchFirecracker(await this.capabilities(), { plan, cacheFolder }, call)
  }

  adopt(record: MachineRecord, call?: Call): Promise<Machine> {
    return adoptFirecracker(record, call)
  }
}

class FirecrackerLoader implements Loader {
  constructor(private readonly capabilities: () => Promise<FirecrackerCapabilities>) {}

  async model(plan: LaunchPlan, devices?: readonly string[]) {
    return modelOfFirecracker(plan, await this.capabilities(), devices)
  }

  macIn(devices: readonly string[]) {
    return macInFirecracker(devices)
  }

  agentIn(devices: readonly string[]) {
    return agentInFirecracker(devices)
  }

  async check(plan: ResumePlan) {
    const { jailer } = await this.capabilities()
    return checkLoad(plan, jailer !== undefined)
  }

  async load(plan: ResumePlan, call?: Loading): Promise<Loaded> {
    // Few machines are ever resumed.
    const { loadFirecracker } = await import("./load.ts")
    return await loadFirecracker(await this.capabilities(), plan, call)
  }
}
