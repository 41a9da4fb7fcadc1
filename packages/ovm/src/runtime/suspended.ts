import { OvmError } from "../errors.ts"
import { isSuspended } from "../vmm/process/identity.ts"
import { unreachable } from "../vmm/process/machine.ts"
import type { Instance } from "./instance.ts"

/**
 * The error to report for a machine whose control connection stands although its VMM's process has been stopped by a
 * signal (OVMS-STA-021); undefined if it has not.
 */
export async function suspension({ machine, silence }: Instance): Promise<OvmError | undefined> {
  if (!machine || silence || !(await isSuspended(machine.record))) return undefined
  const { pid } = machine.record
  const why = `its process was stopped by a signal or a debugger; kill -CONT ${pid} has it go on`
  return unreachable(machine.record, new OvmError("OVM_VMM_FAILED", why))
}

/** Throws OVM_VMM_UNREACHABLE for such a machine (OVMS-STA-023). */
export async function refuseSuspended(instance: Instance): Promise<void> {
  const why = await suspension(instance)
  if (why) throw why
}
