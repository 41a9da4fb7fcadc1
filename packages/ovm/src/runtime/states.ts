import { OvmError } from "../errors.ts"
import type { State } from "./interfaces.ts"

/** Which state may follow which (spec/instance-states.md). */
const NEXT: Readonly<Record<State, readonly State[]>> = {
  starting: ["running", "stopping", "stopped", "failed"],
  running: ["paused", "stopping", "stopped", "failed"],
  paused: ["running", "stopping", "stopped", "failed"],
  stopping: ["stopped", "failed"],
  stopped: [],
  failed: [],
}

/** All of them, in the order of a life. */
export const STATES = Object.keys(NEXT) as readonly State[]

export function isState(value: unknown): value is State {
  return typeof value === "string" && Object.hasOwn(NEXT, value)
}

/** True for the states that an instance never leaves: its VMM is gone. */
export function hasEnded(state: State): boolean {
  return NEXT[state].length === 0
}

/** True where there is a guest that can be told to stand still or to go on. */
export function isUp(state: State): boolean {
  return state === "running" || state === "paused"
}

/** Throws OVM_STATE_CONFLICT unless `to` may follow `from`. */
export function assertTransition(from: State, to: State): void {
  if (!NEXT[from].includes(to))
    throw new OvmError("OVM_STATE_CONFLICT", `an instance that is ${from} cannot become ${to}`, {
      detail: { state: from },
    })
}
