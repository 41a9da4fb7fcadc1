import type { Capabilities, GuestModel, ResumePlan, Unsupported } from "../interfaces.ts"
import { checkPlan } from "./check.ts"
import { modelOf } from "./model.ts"

/**
 * Loader.checkResume of QEMU: everything that a state must find again, since QEMU itself notices little of it. The findings that
 * the plan alone gives come too, but for those about booting, of a guest that has booted.
 */
export function checkResume(plan: ResumePlan, found: Capabilities): readonly Unsupported[] {
  const { origin } = plan
  const planned = checkPlan(plan).filter(({ pointer }) => plan.kernel || !/^\/(kernel|initrd)/.test(pointer))
  const here = { ...modelOf(plan, found, origin.model.devices), machineType: origin.model.machineType }
  return [
    ...planned,
    ...differs("/vmm/name", origin.vmm, found.name),
    ...differs("/vmm/version", origin.version, found.version),
    ...differs("/vmm/accelerator", origin.accelerator, plan.accelerator ?? found.accelerator),
    ...differs("/vmm/format", origin.model.format, here.format),
    ...differs("/vmm/cpuModel", origin.model.cpu, here.cpu),
    ...machineType(origin.model, found),
    ...differs("/resources/vcpus", origin.model.vcpus, here.vcpus),
    ...differs("/resources/memory", origin.model.memory, here.memory),
    ...differs("/devices", origin.model.devices.join(" "), here.devices.join(" ")),
    ...disk(plan),
  ]
}

function* differs<T extends string | number>(pointer: string, snapshot: T, host: T): Iterable<Unsupported> {
  if (snapshot === host) return
  yield fatal(pointer, `the snapshot has ${JSON.stringify(snapshot)}, this would be ${JSON.stringify(host)}`)
}

function* machineType({ machineType }: GuestModel, { machineTypes }: Capabilities): Iterable<Unsupported> {
  if (!machineTypes?.all.includes(machineType))
    yield fatal("/vmm/machine", `this QEMU has no machine type ${JSON.stringify(machineType)}`)
}

function* disk({ disk, origin }: ResumePlan): Iterable<Unsupported> {
  if ((disk === undefined) !== (origin.diskSize === undefined))
    yield fatal("/disk", `the snapshot was taken ${disk ? "without" : "with"} a disk`)
  if (disk && disk.layers.length === 0) yield fatal("/disk", "the disk has no layer")
}

function fatal(pointer: string, reason: string): Unsupported {
  return { pointer, severity: "fatal", reason }
}
