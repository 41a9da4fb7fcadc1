import { rmSync } from "node:fs"
import { join } from "node:path"
import type { Call } from "../../content/interfaces.ts"
import { refuseFatal } from "../fatal.ts"
import type { Machine } from "../machine.ts"
import { makeFurther, makeOverlay } from "../overlays.ts"
import type { LaunchPlan } from "../plan.ts"
import type { FirecrackerCapabilities } from "./capabilities.ts"
import { checkFirecracker } from "./check.ts"
import { attachDrives, place, placeDrives } from "./drives.ts"
import { generationOf } from "./generation.ts"
import { vmlinuxOf } from "./kernel.ts"
import { FirecrackerMachine } from "./machine.ts"
import { modelOfFirecracker } from "./model.ts"
import { attachNetwork, type Opener } from "./network.ts"
import { LONGEST_START_MS, startFirecracker } from "./start.ts"
import { attachVsock } from "./vsock.ts"
import { inWorkplace } from "./workplace.ts"

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
  refuseFatal(checkFirecracker(plan, { jailed: found.jailer !== undefined }))
  const kernel = await vmlinuxOf(plan.kernel?.path ?? "", cacheFolder, call)
  const overlay = await makeOverlay(plan)
  await makeFurther(plan)
  return await inWorkplace(found, plan.directory, async (workplace) => {
    const { folder, jail } = workplace
    placeDrives(plan, workplace)
    place(workplace, kernel, KERNEL)
    if (plan.initrd) place(workplace, plan.initrd.path, INITRD)
    const starting = { found, plan, workplace, overlay, model: modelOfFirecracker(plan, found) }
    return await startFirecracker(starting, call, async ({ record, api, wire, spawn }) => {
      const before = performance.now()
      // A guest that runs has its ports open.
      await Promise.all([wire.start(), configure({ api, pid: record.pid, jail }, plan)])
      await api.ask("PUT", "/actions", { action_type: "InstanceStart" }, LONGEST_START_MS)
      const timings = { spawn, load: performance.now() - before }
      // They are in the guest's memory, and may be copies.
      if (jail) for (const name of [KERNEL, INITRD]) rmSync(join(folder, name), { force: true })
      const generationId = generationOf(record.pid, plan.resources.memory)
      const known = { ...record, ...(generationId !== undefined && { generationId }) }
      return new FirecrackerMachine(known, timings, { api, running: true })
    })
  })
}

/** Everything that the machine has, before it is started. */
async function configure(opener: Opener, plan: LaunchPlan): Promise<void> {
  const { api } = opener
  const { resources, initrd, kernel: booted } = plan
  const boot = { kernel_image_path: KERNEL, boot_args: booted?.args ?? "" }
  await api.ask("PUT", "/boot-source", { ...boot, ...(initrd && { initrd_path: INITRD }) })
  const { vcpus, memory } = resources
  await api.ask("PUT", "/machine-config", { vcpu_count: vcpus, mem_size_mib: memory / MiB })
  await attachDrives(api, plan)
  await attachNetwork(opener, plan)
  // Linux draws from it, and once it is there a new generation ID has it reseed.
  await api.ask("PUT", "/entropy", {})
  await attachVsock(api, plan)
}
