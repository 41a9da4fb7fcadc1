import { OvmError } from "../errors.ts"
import type { Machine } from "../vmm/machine.ts"
import type { Log } from "./ending.ts"
import { keepUp } from "./follow.ts"
import type { Instance } from "./instance.ts"
import type { PauseAnswer } from "./interfaces.ts"
import { refuseSuspended } from "./suspended.ts"

/**
 * Has the guest of an instance stand still or go on, which is what `work` does, and makes that its state. Throws
 * OVM_STATE_CONFLICT where there is no guest, OVM_VMM_UNREACHABLE, and what `work` throws. `log` hears of a change.
 */
export async function setGuest(
  instance: Instance,
  work: (machine: Machine) => Promise<void>,
  log: Log,
): Promise<PauseAnswer> {
  const { id, machine, state, snapshotting } = instance
  if (!machine || (state !== "running" && state !== "paused"))
    throw new OvmError("OVM_STATE_CONFLICT", `instance ${id} is ${state}`, { detail: { state } })
  instance.assertUsable()
  if (snapshotting)
    throw new OvmError("OVM_STATE_CONFLICT", `instance ${id} is being snapshotted or committed`, {
      detail: { state },
    })
  await refuseSuspended(instance)
  await work(machine)
  await keepUp(instance, machine.guest, (event, fields) => log(event, instance, fields))
  return { status: instance.state }
}
