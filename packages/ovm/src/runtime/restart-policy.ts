import { OvmError } from "../errors.ts"
import type { InstanceInfo } from "./interfaces.ts"
import { hasEnded } from "./states.ts"

const LEAST_MS = 100
const MOST_MS = 60_000
/** One that has run for so long is not taken for one that ends again and again. */
const STEADY_MS = 10_000

/** Ends that a guest brings about by itself, and not because it is done. */
const FAILURES: ReadonlySet<string> = new Set(["guest-reset", "result"])

/** Whether that is a restart policy by which a machine may be started again. */
export function isRestarted(policy: string | undefined): policy is string {
  return policy !== undefined && policy !== "no"
}

/** Whether an instance that has ended is to be started again by its policy (spec/instance-states.md). */
export function goesOn(info: InstanceInfo): boolean {
  const { restart, restarts = 0, started, state, exit, stop_method, image } = info
  if (!isRestarted(restart) || !hasEnded(state) || stop_method !== undefined) return false
  // What somebody tries to start, and cannot, is theirs to try again; so is what was not prepared yet.
  if (started === undefined && restarts === 0 && !(wasCutOff(info) && image.digest !== undefined))
    return false
  if (!restart.startsWith("on-failure")) return true
  return !isUsedUp(info) && (state === "failed" || FAILURES.has(exit?.reason ?? ""))
}

/** What a start fails with that only the end of a daemon has cut off. */
export function cutOff(): OvmError {
  return new OvmError("OVM_START_INTERRUPTED", "the daemon ended while this instance was starting")
}

/** Whether only the end of a daemon kept it from running. */
export function wasCutOff({ error }: InstanceInfo): boolean {
  return error?.code === "OVM_START_INTERRUPTED"
}

/** Whether it was started again as often as its policy has it. */
export function isUsedUp({ restart = "", restarts = 0 }: InstanceInfo): boolean {
  const [, most] = restart.split(":")
  return most !== undefined && restarts >= Number(most)
}

/** How long a machine ran, in ms; 0 if it did not. */
export function ran({ started, finished }: InstanceInfo): number {
  return started && finished ? Date.parse(finished) - Date.parse(started) : 0
}

/**
 * How long to wait before the next start of a machine that ran for `ranMs`, in ms; `before`: before the last one,
 * undefined if there was none.
 */
export function waitAfter(ranMs: number, before: number | undefined): number {
  if (before === undefined || ranMs >= STEADY_MS) return LEAST_MS
  return Math.min(MOST_MS, 2 * before)
}
