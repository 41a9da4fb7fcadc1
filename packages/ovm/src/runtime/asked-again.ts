import { setTimeout as sleep } from "node:timers/promises"
import type { Call } from "../content/interfaces.ts"
import { OvmError, toOvmError } from "../errors.ts"
import { isAlive } from "../vmm/process/identity.ts"
import type { Log } from "./ending.ts"
import { entryOf, type Instance } from "./instance.ts"
import type { StartAnswer } from "./interfaces.ts"
import type { Starts } from "./start.ts"
import { hasEnded } from "./states.ts"

/** How long a process that has gone may take to be noticed. */
const NOTICE_MS = 5000

/** See Runtime.startAgain. */
export async function startEnded(starts: Starts, instance: Instance, call: Call): Promise<StartAnswer> {
  const { id, record, state } = instance
  // One that was just killed from outside, or while no daemon was there, has ended, and nobody has noticed yet.
  if (state === "running" && record && !(await isAlive(record)))
    await Promise.race([instance.ended, sleep(NOTICE_MS)])
  if (instance.state === "starting" || instance.state === "running")
    return { instance_id: id, status: instance.state }
  return await starts.again(instance, call)
}

/** See Runtime.restart. `stop` begins to stop it. */
export async function restartInstance(
  starts: Starts,
  instance: Instance,
  stop: () => Promise<unknown>,
  log: Log,
): Promise<StartAnswer> {
  if (hasEnded(instance.state)) return await starts.again(instance)
  await starts.checkAgain(instance)
  instance.again = true
  const over = goOn(starts, instance, log)
  await stop()
  return await over
}

/**
 * The second half of a restart, also of one that an earlier daemon began: whoever asked for it may have gone. Rejects
 * with OVM_STATE_CONFLICT if somebody has stopped the machine meanwhile (OVMS-API-168).
 */
export function goOn(starts: Starts, instance: Instance, log: Log): Promise<StartAnswer> {
  const over = instance.ended.then(() => {
    if (instance.again) return starts.again(instance)
    throw new OvmError("OVM_STATE_CONFLICT", `instance ${instance.id} was stopped while it was restarted`, {
      detail: { state: instance.state },
    })
  })
  over.catch(async (thrown) => {
    log("not started again", instance, { error: entryOf(toOvmError(thrown)) })
    instance.again = false
    await instance.change({})
  })
  return over
}
