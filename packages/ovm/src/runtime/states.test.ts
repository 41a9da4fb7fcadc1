import { expect, test } from "bun:test"
import { OvmError } from "../errors.ts"
import type { State } from "./interfaces.ts"
import { assertTransition, hasEnded } from "./states.ts"

const STATES: readonly State[] = ["starting", "running", "paused", "stopping", "stopped", "failed"]

// OVMS-STA-001
test("every state but the last two can be stopped and can fail", () => {
  for (const state of STATES.filter((state) => !hasEnded(state))) {
    if (state !== "stopping") expect(() => assertTransition(state, "stopping")).not.toThrow()
    expect(() => assertTransition(state, "failed")).not.toThrow()
  }
})

// OVMS-STA-002
test("nothing follows the end, and nothing starts twice", () => {
  for (const from of STATES) {
    expect(refusal(from, "starting")).toBe("OVM_STATE_CONFLICT")
    if (hasEnded(from)) for (const to of STATES) expect(refusal(from, to)).toBe("OVM_STATE_CONFLICT")
  }
  expect(refusal("stopping", "running")).toBe("OVM_STATE_CONFLICT")
})

function refusal(from: State, to: State): string | undefined {
  try {
    assertTransition(from, to)
    return undefined
  } catch (error) {
    return error instanceof OvmError ? error.code : "not an OvmError"
  }
}
