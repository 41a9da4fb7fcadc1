import type { Machine } from "../vmm/machine.ts"
import { endsWithin } from "../vmm/process/ends-within.ts"
import { conflict } from "./conflict.ts"
import type { Log } from "./ending.ts"
import { keepUp } from "./follow.ts"
import type { Instance } from "./instance.ts"
import type { PauseAnswer } from "./interfaces.ts"
import { isUp } from "./states.ts"
import { refuseSuspended } from "./suspended.ts"

/** Within this an end is found by which a machine did not do what it was told to, in ms. */
const FOUND_MS = 1000

/**
 * Has the guest of an instance stand still or go on, which is what `work` does, and makes that its state. Throws
 * OVM_STATE_CONFLICT where there is no guest, OVM_VMM_UNREACHABLE, and what `work` throws. `log` hears of a change.
 */
export async function setGuest(
  instance: Instance,
  work: (machine: Machine) => Promise<void>,
  log: Log,
): Promise<PauseAnswer> {
  const { machine, state, snapshotting } = instance
  if (!machine || !isUp(state)) throw conflict(instance, `is ${state}`)
  instance.assertUsable()
  if (snapshotting) throw conflict(instance, "is being snapshotted or committed")
  await refuseSuspended(instance)
  await work(machine).catch(async (thrown) => {
    throw (await ends(instance)) ? conflict(instance, `is ${instance.state}`) : thrown
  })
  await keepUp(instance, machine.guest, (event, fields) => log(event, instance, fields))
  return { status: instance.state }
}

/** Whether it ended in the middle, or is being ended: it is as if it had been asked after that (OVMS-API-141). */
async function ends(instance: Instance): Promise<boolean> {
  if (isUp(instance.state)) await endsWithin(instance.ended, FOUND_MS)
  return !isUp(instance.state)
}
