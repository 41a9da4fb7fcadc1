import type { Exit } from "../vmm/machine.ts"
import type { ErrorEntry, InstanceInfo, State } from "./interfaces.ts"
import { hasEnded } from "./states.ts"

/** Ends that a guest brings about by itself; "ended" is one of them, as far as anybody can know. */
const ORDERLY: ReadonlySet<string> = new Set(["guest-shutdown", "guest-reset", "ended"])

/** What a guest does to end its machine, as a VMM may see it. */
const BY_GUEST: ReadonlySet<string> = new Set(["guest-shutdown", "guest-reset"])

/** Where no status could be written down, the VMM's word has to do. That of a result is the guest's. */
export function isOrderly({ status, reason }: Exit): boolean {
  if (reason === "result") return true
  return (status === 0 || status === undefined) && ORDERLY.has(reason)
}

/**
 * How a machine has ended whose guest ended it unasked, once the command that it is for was over with `outcome`: a VMM
 * may know of a reset alone (OVMS-AGT-141).
 */
export function withOutcome(
  exit: Exit,
  { state, outcome }: { readonly state: State; readonly outcome?: number | undefined },
): Exit {
  if (state === "stopping" || outcome === undefined || !BY_GUEST.has(exit.reason)) return exit
  return outcome === 0 ? { status: 0, reason: "guest-shutdown" } : { status: outcome, reason: "result" }
}

/** A machine that was made, and rests, has not ended. */
export function isEnd({ state, exit, error }: InstanceInfo): boolean {
  return hasEnded(state) && (exit !== undefined || error !== undefined)
}

/** What an event says of an end (OVMS-API-230). */
export function toldEnd({ exit, error }: InstanceInfo): Pick<InstanceInfo, "exit" | "error"> {
  return { ...(exit && { exit }), ...(error && { error }) }
}

/** `info` in another state: without the phase, which is of a start, and the reason, which is of a pause. */
export function inState({ phase: _, reason: __, ...info }: InstanceInfo, state: State): InstanceInfo {
  return { ...info, state }
}

export function entryOfExit(exit: Exit): ErrorEntry {
  if (exit.reason === "guest-panic")
    return { code: "OVM_GUEST_PANICKED", message: "the guest's kernel panicked, and the machine was ended" }
  const how = exit.status === undefined ? exit.reason : `${exit.reason}, exit status ${exit.status}`
  return {
    code: "OVM_VMM_FAILED",
    message: `the VMM ended: ${how}${exit.message ? `: ${exit.message}` : ""}`,
  }
}
