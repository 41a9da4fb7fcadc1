import { number, TYPE } from "../../agent/frame.ts"
import { must } from "../../check.ts"
import type { Plan } from "../runtime/plan.ts"
import { agentPlan, LINE, opened } from "./stage.ts"

/** A machine that is for one command, whose guest resets in the end. */
function ends(result: number, wanted: { readonly reason: string; readonly status: number }): Plan {
  return agentPlan(
    `outcome-${result}`,
    ["OVMS-AGT-139", "OVMS-AGT-141"],
    async (stage) => {
      const { runtime, id, agent } = stage
      const begun = (await opened(stage, "exec")).words
      must(begun.includes("main"), `the command of the machine is begun by ${begun.join(" ")}`)
      // Of what an agent may come to say.
      agent.say(200, 0, Buffer.from("of a later version"))
      agent.say(TYPE.outcome, 0, number(result))
      const { exit, state } = await runtime.reaches(id, "stopped")
      must(
        state === "stopped" && exit?.reason === wanted.reason && exit.status === wanted.status,
        `its command has ended with ${result}, and exit is ${JSON.stringify(exit)}`,
      )
    },
    { overrides: { args: `${LINE} ticks=100`, exec: { command: ["what-it-is-for"] } } },
  )
}

export const outcomePlans: readonly Plan[] = [
  ends(0, { reason: "guest-shutdown", status: 0 }),
  ends(3, { reason: "result", status: 3 }),
]
