import { stat } from "node:fs/promises"
import { join } from "node:path"
import { readChunks } from "../files/chunks.ts"
import { replaceFile } from "../files/replace.ts"
import { agentSegment, withAgent } from "../guest/agent/initrd.ts"
import type { LaunchPlan } from "../vmm/plan.ts"

/** In the instance's directory. */
const FILE = "agent.initrd"

/** A plan whose initrd is to be made before its machine is started. */
export interface AgentBoot<Plan extends LaunchPlan> {
  readonly plan: Plan
  make(): Promise<void>
}

/** Whether an agent can come with what the machine boots. */
export function comesByInitrd({ kernel, initrd }: Pick<LaunchPlan, "kernel" | "initrd">): boolean {
  return kernel !== undefined && initrd !== undefined
}

/**
 * How a machine that is to have an agent boots: its initrd has one more segment, in a file of the instance's own. A
 * machine without kernel or initrd has one by the disk of its first boot, or if its image brings one.
 */
export function agentBoot<Plan extends LaunchPlan>(plan: Plan): AgentBoot<Plan> {
  const { agent, directory, kernel, initrd } = plan
  if (!agent || !kernel || !initrd) return { plan, make: async () => {} }
  const path = join(directory, FILE)
  return {
    plan: { ...plan, kernel: { ...kernel, args: withAgent(kernel.args) }, initrd: { path } },
    make: () => replaceFile(path, appended(initrd.path, kernel.args)),
  }
}

async function* appended(path: string, args: string): AsyncIterable<Uint8Array> {
  const { size } = await stat(path)
  yield* readChunks(path)
  yield agentSegment(size, args)
}
