import { existsSync } from "node:fs"
import type { Machine } from "../vmm/machine.ts"
import { losesKeeper } from "../vmm/process/keeper-lost.ts"
import { lookOften } from "../vmm/process/looks.ts"
import { losesFolder } from "../vmm/process/moved-folder.ts"
import { stoppedBeside } from "../vmm/process/stopped.ts"
import { losesTpm } from "../vmm/tpm/process.ts"
import { losesServer } from "../vmm/virtiofs/lost.ts"
import type { Log } from "./ending.ts"
import type { Instance } from "./instance.ts"
import type { Degraded } from "./interfaces.ts"
import type { LostParts } from "./lost-parts.ts"
import { hasEnded } from "./states.ts"
import { tpmState } from "./tpm.ts"

/** Notes that a part is not as it should be, until the machine has ended. */
export function degrade(instance: Instance, part: Degraded, log: Log): void {
  change(instance, (parts) => parts.lose(part), log)
}

function change(instance: Instance, make: (parts: LostParts) => void, log: Log): void {
  const { state, degraded } = instance
  // What is being ended ends one after the other.
  if (hasEnded(state) || state === "stopping") return
  const before = degraded.all
  make(degraded)
  const { all } = degraded
  if (all.join() !== before.join()) log("degraded", instance, all.length > 0 ? { degraded: all } : {})
}

/**
 * Notes what of a machine ends while its VMM lives, or is stopped (spec/instance-states.md, "Degraded"), until `signal`
 * comes. `log` hears of each change.
 */
export function followParts(instance: Instance, machine: Machine, log: Log, signal: AbortSignal): void {
  const lost = (part: Degraded) => {
    if (!signal.aborted) degrade(instance, part, log)
  }
  machine.unlinked?.then(() => {
    if (instance.machine === machine) lost("network")
  })
  lookOften(() => {
    if (signal.aborted || instance.machine !== machine) return false
    try {
      const stopped = stoppedBeside(machine.record)
      change(instance, (parts) => parts.stop(stopped), log)
    } catch {} // With the next look, then.
    return true
  })
  const folders = (instance.info.shares ?? []).map(({ source }) => source)
  if (folders.length > 0)
    losesFolder(machine.record, folders, signal).then(
      (is) => is && instance.machine === machine && lost("share"),
    )
  const { shareServers = [] } = machine.record
  if (shareServers.length > 0)
    losesServer(machine.record, shareServers, signal).then(
      (is) => is && instance.machine === machine && lost("share"),
    )
  const tpm = tpmState(instance.directory)
  if (existsSync(tpm))
    losesTpm(machine.record, tpm, signal)
      .then((is) => is && instance.machine === machine && lost("tpm"))
      .catch(() => {})
  if (instance.keeperWatched) return
  instance.keeperWatched = true
  // One that was put aside meanwhile has another keeper once it is back.
  const { pid } = machine.record
  losesKeeper(machine.record, signal)
    .then((is) => is && instance.record?.pid === pid && lost("keeper"))
    .catch(() => {})
}
