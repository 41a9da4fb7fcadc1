import { join } from "node:path"
import { OvmError } from "../errors.ts"
import type { Images } from "../images/images.ts"
import type { Vmm } from "../vmm/interfaces.ts"
import { endStray } from "../vmm/process/stray.ts"
import { Instance } from "./instance.ts"
import { type InstanceRecord, readRecords } from "./record.ts"
import { settleSnapshot } from "./snapshot.ts"
import { hasEnded } from "./states.ts"

/**
 * What an earlier daemon left: machines that run are adopted, those that ended meanwhile get their exit, those that were
 * still starting are ended (nobody holds their plan any more), and leases of forgotten instances are given back.
 */
export async function recover(instances: string, vmms: readonly Vmm[], images: Images): Promise<Instance[]> {
  const records = await readRecords(instances)
  await images.keepLeases(records.map((record) => record.info.instance_id))
  return Promise.all(records.map((record) => revive(join(instances, record.info.instance_id), record, vmms)))
}

async function revive(
  directory: string,
  { info, machine, lineage }: InstanceRecord,
  vmms: readonly Vmm[],
): Promise<Instance> {
  const instance = new Instance(directory, info, machine, lineage)
  if (hasEnded(info.state)) return instance
  const vmm = vmms.find((vmm) => vmm.name === machine?.vmm)
  if (!machine || !vmm) {
    await endStray(directory)
    await instance.fail(new OvmError("OVM_INTERNAL", "the daemon ended while this instance was starting"))
    return instance
  }
  try {
    instance.machine = await vmm.adopt(machine)
    await settleSnapshot(instance)
    if (info.state === "starting")
      await instance.become("running", { started: info.started ?? new Date().toISOString() })
  } catch (error) {
    await instance.finish({ reason: "lost", message: error instanceof Error ? error.message : String(error) })
  }
  return instance
}
