import { TYPE } from "../../agent/frame.ts"
import { must } from "../../check.ts"
import type { Plan } from "../runtime/plan.ts"
import { agentPlan, later, opened, ready } from "./stage.ts"

/** How long a host may wait for an agent that hangs (OVMS-AGT-037), and what a busy host takes besides. */
const PATIENCE_MS = 60_000 + 20_000

/** Agents that say nothing any more, while somebody waits for them. */
export const agentHangPlans: readonly Plan[] = [
  {
    ...agentPlan("hangs", ["OVMS-AGT-037", "OVMS-API-500"], async (stage) => {
      const { runtime, id, agent } = stage
      agent.manner = (words, stream) => words[0] !== "exec" && agent.exit(stream)
      await ready(stage)
      const before = (await runtime.status(id)).warnings
      const body = { command: ["nobody-ends-this"] }
      const answer = later(runtime.refused("POST /instances/{instance_id}/exec", /./, id, { body }))
      await opened(stage, "exec")
      agent.answers = false
      const said = agent.heard.length
      const anew = async () => agent.heard.slice(said).some(({ type }) => type === TYPE.hello)
      await runtime.until("the host begins anew with an agent that hangs", anew, PATIENCE_MS)
      const { code } = await answer
      must(code === "OVM_AGENT_UNAVAILABLE", `what waited for the agent ended with ${code}`)
      const { warnings } = await runtime.status(id)
      must(warnings.length > before.length, "no warning says that the agent hangs")
      agent.answers = true
      await ready(stage)
      await runtime.until(
        "the warning goes once the agent is back",
        async () => (await runtime.status(id)).warnings.length === before.length,
      )
    }),
    waits: true,
  },
]
