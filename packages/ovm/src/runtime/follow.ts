import type { Guest, Machine } from "../vmm/machine.ts"
import type { Instance } from "./instance.ts"
import type { InstanceInfo } from "./interfaces.ts"
import { isUp } from "./states.ts"

/** How long a guest may stand still for a snapshot before that is its state, in ms: as a rule it takes some 10. */
const GLANCE_MS = 300

type Log = (event: string, fields: Record<string, unknown>) => void

/**
 * Keeps `state` of the instance what its guest does, whoever has it do that: the host's disk, somebody else at the
 * VMM's monitor, or this runtime (spec/instance-states.md, "Paused"). `log` hears of every change.
 */
export function follow(instance: Instance, machine: Machine, log: Log): void {
  let timer: NodeJS.Timeout | undefined
  const settle = () => {
    clearTimeout(timer)
    if (instance.snapshotting) timer = setTimeout(apply, GLANCE_MS).unref()
    else apply()
  }
  const apply = () => {
    if (instance.machine !== machine) return
    keepUp(instance, machine.guest, log).catch((problem) => log("unrecorded", { problem: String(problem) }))
  }
  machine.onGuest(settle)
  settle()
}

/** Makes the state that of `guest`, if it is not. Settles once the record says so. */
export async function keepUp(instance: Instance, guest: Guest, log: Log): Promise<void> {
  const { state, info } = instance
  // Of one that cannot be asked nobody knows what it does.
  if (instance.silence || instance.standby) return
  const warnings = info.warnings.filter((one) => !STANDS.includes(one))
  if (guest.running) {
    if (state !== "paused") return
    log("running", {})
    return await instance.become("running", { warnings })
  }
  if (!isUp(state)) return
  const reason = reasonOf(instance, guest)
  if (state === "paused" && info.reason === reason) return
  log("paused", { reason, ...(guest.message && { message: guest.message }) })
  const warning = WARNINGS[reason]
  const patch = { reason, warnings: warning ? [...warnings, warning] : warnings }
  await (state === "running" ? instance.become("paused", patch) : instance.change(patch))
}

type Reason = NonNullable<InstanceInfo["reason"]>

/** Why the guest does not run. One that somebody had paused before its snapshot stays paused for that reason. */
function reasonOf({ snapshotting, info }: Instance, { reason = "request" }: Guest): Reason {
  return reason === "request" && snapshotting && info.reason !== "request" ? "snapshot" : reason
}

const WARNINGS: Readonly<Partial<Record<Reason, string>>> = {
  "disk-full": "the disk of the host is full: the guest stands still until there is room and it is resumed",
  "io-error": "the disk of the host fails: the guest stands still until it does not and the guest is resumed",
}
const STANDS = Object.values(WARNINGS)
