import type { Call } from "../../content/interfaces.ts"
import { refuseFatal } from "../fatal.ts"
import type { Machine } from "../machine.ts"
import { makeFurther, makeOverlay } from "../overlays.ts"
import type { LaunchPlan } from "../plan.ts"
import type { Api } from "./api.ts"
import type { FirecrackerCapabilities } from "./capabilities.ts"
import { checkFirecracker } from "./check.ts"
import { attachDrives, place, placeDrives } from "./drives.ts"
import { generationOf } from "./generation.ts"
import { vmlinuxOf } from "./kernel.ts"
import { FirecrackerMachine } from "./machine.ts"
import { modelOfFirecracker } from "./model.ts"
import { attachNetwork } from "./network.ts"
import { LONGEST_START_MS, startFirecracker } from "./start.ts"
import { attachVsock } from "./vsock.ts"

const MiB = 2 ** 20
/** In the machine's directory: a snapshot has the names in it, and is to tell nobody where on this host they are. */
const KERNEL = "vmlinux"
const INITRD = "initrd"

/** Vmm.launch of Firecracker. */
export async function launchFirecracker(
  found: FirecrackerCapabilities,
  { plan, cacheFolder }: { readonly plan: LaunchPlan; readonly cacheFolder: string },
  call: Call = {},
): Promise<Machine> {
  refuseFatal(checkFirecracker(plan))
  const kernel = await vmlinuxOf(plan.kernel?.path ?? "", cacheFolder, call)
  const overlay = await makeOverlay(plan)
  await makeFurther(plan)
  placeDrives(plan)
  place(plan, kernel, KERNEL)
  if (plan.initrd) place(plan, plan.initrd.path, INITRD)
  const starting = { found, plan, overlay, model: modelOfFirecracker(plan, found) }
  return await startFirecracker(starting, call, async ({ record, api, spawn }) => {
    const before = performance.now()
    await configure(api, plan)
    await api.ask("PUT", "/actions", { action_type: "InstanceStart" }, LONGEST_START_MS)
    const timings = { spawn, load: performance.now() - before }
    const generationId = generationOf(record.pid, plan.resources.memory)
    const known = { ...record, ...(generationId !== undefined && { generationId }) }
    return new FirecrackerMachine(known, timings, { api, running: true })
  })
}

/** Everything that the machine has, before it is started. */
async function configure(api: Api, plan: LaunchPlan): Promise<void> {
  const { resources, initrd, kernel: booted } = plan
  const boot = { kernel_image_path: KERNEL, boot_args: booted?.args ?? "" }
  await api.ask("PUT", "/boot-source", { ...boot, ...(initrd && { initrd_path: INITRD }) })
  const { vcpus, memory } = resources
  await api.ask("PUT", "/machine-config", { vcpu_count: vcpus, mem_size_mib: memory / MiB })
  await attachDrives(api, plan)
  await attachNetwork(api, plan)
  // Linux draws from it, and once it is there a new generation ID has it reseed.
  await api.ask("PUT", "/entropy", {})
  await attachVsock(api, plan)
}
