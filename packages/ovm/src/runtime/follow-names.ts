import { setTimeout as sleep } from "node:timers/promises"
import { AllowedNow } from "../network/allowed-now.ts"
import { FilterReach } from "../network/filter-reach.ts"
import type { Machine } from "../vmm/machine.ts"
import { askFilter } from "../vmm/process/filter-socket.ts"
import type { Log } from "./ending.ts"
import type { Instance } from "./instance.ts"

/** Between two looks whether names are to be resolved again, in ms. */
const LOOK_MS = 5000

/**
 * Has the names in the list of a machine in a network of its own stand for what they are by now, as long as the machine
 * and this runtime run (OVMS-API-493).
 */
export async function followNames(instance: Instance, machine: Machine, log: Log): Promise<void> {
  const { network } = instance.info
  if (network?.mode !== "user" || !network.allow) return
  const { directory } = machine.record
  const reach = new FilterReach(new AllowedNow(network.allow), (line) => askFilter(directory, line))
  let over = false
  void machine.exited.finally(() => {
    over = true
  })
  for (;;) {
    await sleep(LOOK_MS, undefined, { ref: false })
    if (over) return
    try {
      if (!(await reach.renew())) return
    } catch (problem) {
      log("names", instance, { problem: String(problem) })
    }
  }
}
