import { OvmError } from "../../../errors.ts"
import type { DeviceState } from "../migration/splitter.ts"
import { isGenerationFixed } from "./generation.ts"

/**
 * Run states (qapi/run-state.json) from which a guest goes on. One that is stopped before its first instruction is in
 * `prelaunch`.
 */
const ALIVE = new Set(["running", "paused", "prelaunch"])
const STATE_AT = 4

/**
 * Refuses a snapshot of an instant from which no clone could go on as it should: what the machine was asked for before
 * its RAM was copied may no longer be so (OVMS-SNP-135, OVMS-SNP-136). Throws OVM_STATE_CONFLICT.
 */
export async function refuseInstant(state: DeviceState, ram: string, generationId?: string): Promise<void> {
  const then = stateThen(state)
  if (then !== undefined && !ALIVE.has(then))
    throw new OvmError("OVM_STATE_CONFLICT", `the guest came to an end meanwhile: the machine is ${then}`)
  if (await isGenerationFixed(state, ram, generationId))
    throw new OvmError("OVM_STATE_CONFLICT", "the firmware is just setting up the VM generation ID", {
      detail: { requirement: "OVMS-SNP-136" },
      hint: "Take it again: that is over within a millisecond.",
    })
}

/**
 * What the machine did at the instant of the snapshot, as the stream has it (migration/global_state.c): a size, then
 * the word.
 */
function stateThen({ bytes, devices }: DeviceState): string | undefined {
  const section = devices.find(({ name }) => name === "globalstate")
  if (!section || section.size < STATE_AT) return undefined
  const text = bytes.toString("latin1", section.at + STATE_AT, section.at + section.size)
  return text.slice(0, text.indexOf("\0"))
}
