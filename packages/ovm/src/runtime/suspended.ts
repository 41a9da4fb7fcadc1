import { OvmError } from "../errors.ts"
import { isSuspended } from "../vmm/process/identity.ts"
import { unreachable } from "../vmm/process/machine.ts"
import type { Instance } from "./instance.ts"

/** Why a machine that is held here cannot be asked all the same, if its VMM's process stands still (OVMS-STA-021). */
export async function suspension({ machine, silence }: Instance): Promise<OvmError | undefined> {
  if (!machine || silence || !(await isSuspended(machine.record))) return undefined
  const { pid } = machine.record
  const why = `its process was stopped by a signal or a debugger; kill -CONT ${pid} has it go on`
  return unreachable(machine.record, new OvmError("OVM_VMM_FAILED", why))
}

/** Throws OVM_VMM_UNREACHABLE for one (OVMS-STA-023). */
export async function refuseSuspended(instance: Instance): Promise<void> {
  const why = await suspension(instance)
  if (why) throw why
}
