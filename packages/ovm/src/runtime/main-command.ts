import { textsOf } from "../guest/agent/command.ts"
import type { AgentSession } from "../guest/agent/session.ts"
import type { Instance } from "./instance.ts"

const UNBEGUN = "its command was not begun: "

/**
 * Has an agent that answers begin what the machine is for, once its shares are mounted (OVMS-API-460): an agent that
 * has begun it already does nothing. `switches`: the guest is going to change its root. Why it could not is in the
 * warnings.
 */
export async function beginMain(instance: Instance, session: AgentSession, switches: boolean): Promise<void> {
  const { request, mounts } = instance
  const exec = request?.overrides?.exec
  if (!exec) return
  instance.outcome = undefined
  session.outcome?.then((result) => {
    instance.outcome = result
  })
  await mounts?.settled
  const missing = mounts?.shares.find(({ mounted }) => !mounted)
  if (missing) {
    // Without a reason the agent has gone, and is asked again when it is back.
    if (missing.reason === undefined) return
    return warn(instance, `${missing.target} is not mounted`)
  }
  const stream = session.do(textsOf({ ...exec, input: false, main: switches ? "settled" : "now" }))
  const ending = await stream.ending
  if ("refused" in ending) warn(instance, `the agent does not do that: ${ending.refused}`)
  else if (!("status" in ending && ending.status === 0))
    warn(instance, "its guest could start no process for it")
}

function warn(instance: Instance, why: string): void {
  const others = instance.info.warnings.filter((one) => !one.startsWith(UNBEGUN))
  instance.note({ warnings: [...others, `${UNBEGUN}${why}`] })
}
