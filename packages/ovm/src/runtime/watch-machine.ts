import { endHelpers } from "../vmm/process/helpers.ts"
import type { Adoption } from "./adoption.ts"
import { followAgent } from "./agents.ts"
import { degrade } from "./degraded.ts"
import type { Ending, Log } from "./ending.ts"
import { toldEnd, withOutcome } from "./ends.ts"
import { follow, keepUp } from "./follow.ts"
import { followNames } from "./follow-names.ts"
import type { Instance } from "./instance.ts"
import type { Networks } from "./networks.ts"

/** Who sees to what becomes of a machine. */
interface Watchers {
  readonly adoption: Adoption
  readonly ending: Ending
  readonly networks: Networks
  readonly log: Log
}

/** Sees to the machine of an instance: of each that it has, one after the other, this is told first. */
export function watchMachine(instance: Instance, { adoption, ending, networks, log }: Watchers): void {
  const { machine, silence } = instance
  if (!machine) return
  if (!silence) follow(instance, machine, (event, fields) => log(event, instance, fields))
  machine.exited
    .then(async (exit) => {
      // What is told as ended has nothing left that it could be in the way by, such as a port.
      await endHelpers(instance.directory)
      await instance.finish(withOutcome(exit, instance))
    })
    .finally(() => networks.tell(instance))
    .then(() => log(instance.state, instance, toldEnd(instance.info)))
    .catch(unrecorded(instance, log))
  if (!silence) void followNames(instance, machine, log)
  if (!silence) adoption.watch(instance, machine)
  if (!silence) followAgent(instance, machine, () => degrade(instance, "share", log))
  if (silence && instance.state === "stopping") void ending.end(instance)
}

/** Has the state of an instance whose guest stood still for a moment be what the guest does by now. */
export async function followUp(instance: Instance, log: Log): Promise<void> {
  const { machine } = instance
  if (!machine) return
  await keepUp(instance, machine.guest, (event, fields) => log(event, instance, fields)).catch(
    unrecorded(instance, log),
  )
}

/** For what could not be written down. */
export function unrecorded(instance: Instance, log: Log): (problem: unknown) => void {
  return (problem) => log("unrecorded", instance, { problem: String(problem) })
}
