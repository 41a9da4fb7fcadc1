import type { Call } from "../../content/interfaces.ts"
import type { Loaded, Loader, Loading } from "../loader.ts"
import type { Machine, MachineRecord } from "../machine.ts"
import type { LaunchPlan, ResumePlan } from "../plan.ts"
import type { GuestKind, Vmm } from "../vmm.ts"
import { adoptQemu } from "./adopt.ts"
import { agentIn } from "./agent.ts"
import { armCapabilities, type QemuCapabilities, qemuCapabilities } from "./capabilities.ts"
import { checkPlan } from "./check.ts"
import { checkFirmware } from "./check-firmware.ts"
import { checkResume } from "./check-resume.ts"
import { launchQemu } from "./launch.ts"
import { modelOf } from "./model.ts"
import { macIn } from "./network.ts"

/** QEMU ≥ 7.2. `cacheFolder` keeps what was found out about it. */
export function qemu(cacheFolder: string): Vmm & { readonly loader: Loader } {
  return new Qemu(cacheFolder)
}

class Qemu implements Vmm {
  readonly name = "qemu"
  readonly loader: Loader

  constructor(private readonly cacheFolder: string) {
    this.loader = new QemuLoader(cacheFolder)
  }

  capabilities({ architecture }: GuestKind = {}): Promise<QemuCapabilities> {
    return architecture === "arm64" ? armCapabilities(this.cacheFolder) : qemuCapabilities(this.cacheFolder)
  }

  async check(plan: LaunchPlan) {
    return [...checkPlan(plan, await this.capabilities(plan)), ...(await checkFirmware(plan))]
  }

  async launch(plan: LaunchPlan, call?: Call): Promise<Machine> {
    return await launchQemu(await this.capabilities(plan), plan, call)
  }

  adopt(record: MachineRecord, call?: Call): Promise<Machine> {
    return adoptQemu(record, call)
  }
}

class QemuLoader implements Loader {
  constructor(private readonly cacheFolder: string) {}

  async model(plan: LaunchPlan, devices?: readonly string[]) {
    return modelOf(plan, await qemuCapabilities(this.cacheFolder), devices)
  }

  macIn(devices: readonly string[]) {
    return macIn(devices)
  }

  agentIn(devices: readonly string[]) {
    return agentIn(devices)
  }

  async check(plan: ResumePlan) {
    // It has booted, and may have no kernel any more.
    const { kernel: _, ...booted } = plan
    const findings = checkResume(plan, await qemuCapabilities(this.cacheFolder))
    return [...findings, ...(await checkFirmware(booted))]
  }

  async load(plan: ResumePlan, call?: Loading): Promise<Loaded> {
    // Few machines are ever resumed.
    const { loadQemu } = await import("./load.ts")
    return await loadQemu(await qemuCapabilities(this.cacheFolder), plan, call)
  }
}
