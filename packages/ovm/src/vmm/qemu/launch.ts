import type { Call } from "../../content/interfaces.ts"
import { checkKernel } from "../../kernel.ts"
import { refuseFatal } from "../fatal.ts"
import type { Machine } from "../machine.ts"
import { makeFurther, makeOverlay } from "../overlays.ts"
import type { LaunchPlan } from "../plan.ts"
import type { QemuCapabilities } from "./capabilities.ts"
import { checkPlan } from "./check.ts"
import { checkFirmware } from "./check-firmware.ts"
import { makeSharedMemory } from "./devices.ts"
import { makeVariables } from "./flashes.ts"
import { letBegin } from "./go.ts"
import { QemuMachine } from "./machine.ts"
import { modelOf } from "./model.ts"
import { START_MS, startQemu } from "./start.ts"

/** Vmm.launch of QEMU. */
export async function launchQemu(
  found: QemuCapabilities,
  plan: LaunchPlan,
  call: Call = {},
): Promise<Machine> {
  refuseFatal([...checkPlan(plan, found), ...(await checkFirmware(plan))])
  if (plan.kernel) await checkKernel(plan.kernel.path, { uefi: Boolean(plan.uefi) })
  const overlay = await makeOverlay(plan)
  await makeFurther(plan)
  makeSharedMemory(plan)
  const flashes = await makeVariables(plan)
  const options = {
    accelerator: plan.accelerator ?? found.accelerator,
    model: modelOf(plan, found),
    generationId: plan.generationId ?? crypto.randomUUID(),
    ...(overlay !== undefined && { overlay }),
    ...(flashes && { flashes }),
  }
  return await startQemu(
    { found, plan, options, portsFirst: true },
    call,
    async ({ record, qmp, watch, timings }) => {
      await letBegin(qmp, watch, { directory: plan.directory, timeoutMs: START_MS })
      return new QemuMachine(record, await timings(), qmp, watch)
    },
  )
}
