import type { Machine } from "../vmm/machine.ts"
import { losesKeeper } from "../vmm/process/keeper-lost.ts"
import type { Log } from "./ending.ts"
import type { Instance } from "./instance.ts"
import type { Degraded } from "./interfaces.ts"
import { hasEnded } from "./states.ts"

/**
 * Notes what of a machine ends while its VMM lives (spec/instance-states.md, "Degraded"), until `signal` comes. `log`
 * hears of each once a life of it.
 */
export function followParts(instance: Instance, machine: Machine, log: Log, signal: AbortSignal): void {
  const lost = (part: Degraded) => {
    const { state, degraded } = instance
    // What is being ended ends one after the other.
    if (signal.aborted || hasEnded(state) || state === "stopping" || degraded.has(part)) return
    degraded.add(part)
    log("degraded", instance, { degraded: [...degraded] })
  }
  machine.unlinked?.then(() => {
    if (instance.machine === machine) lost("network")
  })
  if (instance.keeperWatched) return
  instance.keeperWatched = true
  losesKeeper(machine.record, signal)
    .then((is) => is && lost("keeper"))
    .catch(() => {})
}
