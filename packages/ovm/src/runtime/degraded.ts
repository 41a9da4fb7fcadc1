import { existsSync } from "node:fs"
import type { Machine } from "../vmm/machine.ts"
import { losesKeeper } from "../vmm/process/keeper-lost.ts"
import { losesFolder } from "../vmm/process/moved-folder.ts"
import { losesTpm } from "../vmm/tpm/process.ts"
import { losesServer } from "../vmm/virtiofs/lost.ts"
import type { Log } from "./ending.ts"
import type { Instance } from "./instance.ts"
import type { Degraded } from "./interfaces.ts"
import { hasEnded } from "./states.ts"
import { tpmState } from "./tpm.ts"

/** Notes that a part is not as it should be, once a life of the machine. */
export function degrade(instance: Instance, part: Degraded, log: Log): void {
  const { state, degraded } = instance
  // What is being ended ends one after the other.
  if (hasEnded(state) || state === "stopping" || degraded.has(part)) return
  degraded.add(part)
  log("degraded", instance, { degraded: [...degraded] })
}

/**
 * Notes what of a machine ends while its VMM lives (spec/instance-states.md, "Degraded"), until `signal` comes. `log`
 * hears of each once a life of it.
 */
export function followParts(instance: Instance, machine: Machine, log: Log, signal: AbortSignal): void {
  const lost = (part: Degraded) => {
    if (!signal.aborted) degrade(instance, part, log)
  }
  machine.unlinked?.then(() => {
    if (instance.machine === machine) lost("network")
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
