import type { Call } from "../../content/interfaces.ts"
import { refuseFatal } from "../fatal.ts"
import type { Machine } from "../machine.ts"
import { makeOverlay } from "../overlays.ts"
import type { LaunchPlan } from "../plan.ts"
import type { Capabilities } from "../vmm.ts"
import type { Api } from "./api.ts"
import { checkFirecracker } from "./check.ts"
import { attachDrives } from "./drives.ts"
import { vmlinuxOf } from "./kernel.ts"
import { FirecrackerMachine } from "./machine.ts"
import { LONGEST_START_MS, startFirecracker } from "./start.ts"

const MiB = 2 ** 20

/** Vmm.launch of Firecracker. */
export async function launchFirecracker(
  found: Capabilities,
  { plan, cacheFolder }: { readonly plan: LaunchPlan; readonly cacheFolder: string },
  call: Call = {},
): Promise<Machine> {
  refuseFatal(checkFirecracker(plan))
  const kernel = await vmlinuxOf(plan.kernel?.path ?? "", cacheFolder, call)
  const overlay = await makeOverlay(plan)
  return await startFirecracker({ found, plan, overlay }, call, async ({ record, api, spawn }) => {
    const before = performance.now()
    await configure(api, plan, kernel)
    await api.ask("PUT", "/actions", { action_type: "InstanceStart" }, LONGEST_START_MS)
    return new FirecrackerMachine(record, { spawn, load: performance.now() - before }, { api, running: true })
  })
}

/** Everything that the machine has, before it is started. */
async function configure(api: Api, plan: LaunchPlan, kernel: string): Promise<void> {
  const { resources, initrd, kernel: booted } = plan
  const boot = { kernel_image_path: kernel, boot_args: booted?.args ?? "" }
  await api.ask("PUT", "/boot-source", { ...boot, ...(initrd && { initrd_path: initrd.path }) })
  const { vcpus, memory } = resources
  await api.ask("PUT", "/machine-config", { vcpu_count: vcpus, mem_size_mib: memory / MiB })
  await attachDrives(api, plan)
  // Linux draws from it, and once it is there a new generation ID has it reseed.
  await api.ask("PUT", "/entropy", {})
}
