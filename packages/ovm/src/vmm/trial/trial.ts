import { writeFile } from "node:fs/promises"
import type { Call } from "../../content/interfaces.ts"
import { OvmError, toOvmError } from "../../errors.ts"
import { rounded } from "../../rounded.ts"
import type { Vmm } from "../vmm.ts"
import { trialKernel } from "./guest.ts"
import { TrialPlace } from "./place.ts"
import { LeftOut, type OnTrial, STEPS, type TrialStep, trialPlan } from "./steps.ts"

/** What came of one step of a trial. */
export interface StepResult {
  readonly name: string
  /** skipped: the VMM offers no such thing, or an earlier step failed. */
  readonly state: "passed" | "failed" | "skipped"
  readonly took_ms: number
  /** Why it did not pass. */
  readonly reason?: string
  /** Of a failed one. */
  readonly code?: string
}

const NOT_COME_TO = "an earlier step failed"

/**
 * Runs a guest of its own on `vmm` from its launch to its end, as a runtime would, and tells of each step when it is
 * through. Machines are in a folder below `root`, of which nothing is left. Throws OVM_INTERRUPTED.
 */
export async function* trial(vmm: Vmm, root: string, { signal }: Call = {}): AsyncGenerator<StepResult> {
  await using place = await TrialPlace.make(root)
  const kernel = place.path("kernel")
  await writeFile(kernel, trialKernel())
  const plan = trialPlan(place.machine("machine"), kernel)
  const on: OnTrial = { vmm, place, plan, ...(signal && { signal }) }
  let broken = false
  for (const step of STEPS) {
    if (signal?.aborted) throw interrupted()
    const result: StepResult = broken
      ? { name: step.name, state: "skipped", took_ms: 0, reason: NOT_COME_TO }
      : await resultOf(step, on)
    broken ||= result.state === "failed"
    if (signal?.aborted) throw interrupted()
    yield result
  }
  // After a failure something may well be left, and is ended.
  if (broken) await place.clear()
  yield await resultOf({ name: "nothing left", run: () => nothingLeft(on) }, on)
}

async function nothingLeft({ vmm, place }: OnTrial): Promise<void> {
  const [left] = await place.clear()
  if (left !== undefined)
    throw new OvmError("OVM_VMM_FAILED", "a process of a machine that has ended was left")
  if ((await vmm.close?.()) === false)
    throw new OvmError("OVM_VMM_FAILED", "the adapter did not end when its input did, and was killed")
}

async function resultOf({ name, run }: TrialStep, on: OnTrial): Promise<StepResult> {
  const began = performance.now()
  const took = () => rounded(performance.now() - began)
  try {
    await run(on)
    return { name, state: "passed", took_ms: took() }
  } catch (thrown) {
    if (thrown instanceof LeftOut) return { name, state: "skipped", took_ms: took(), reason: thrown.message }
    const { code, message } = toOvmError(thrown)
    return { name, state: "failed", took_ms: took(), reason: message, code }
  }
}

function interrupted(): OvmError {
  return new OvmError("OVM_INTERRUPTED", "the trial was interrupted")
}
