import { must, skip } from "../../check.ts"
import { signal as send } from "../../subject/processes.ts"
import { serving } from "../networks/owners.ts"
import { harnessOf, type Plan } from "./plan.ts"

const PORTS = "POST /instances/{instance_id}/ports"
const WITHIN_MS = 5000

interface Port {
  readonly host: number
}

export const portThatClosesPlans: readonly Plan[] = [
  {
    name: "networks/port-that-closes",
    covers: ["OVMS-API-275"],
    async run({ runtime, boot }) {
      const harness = harnessOf(runtime)
      const id = await boot("", { network: { mode: "user" } })
      const added = (guest: number) => runtime.ask<Port>(PORTS, id, { body: { guest } })
      const [kept, lost] = [await added(81), await added(82)]
      const [others, own] = [await serving("self", "tcp", kept.host), await serving("self", "tcp", lost.host)]
      const alone = own.filter((pid) => pid !== harness.pid && !others.includes(pid))
      if (alone.length === 0 || alone.length < own.length)
        skip("what listens at a port of a machine of this runtime does more than that")
      send(alone, "SIGKILL")
      await runtime.within("a port that has closed is not listed any more", WITHIN_MS, async () => {
        const { state, network, warnings } = await runtime.status(id)
        must(state === "running", `the machine is ${state} since one of its ports has closed`)
        const hosts = (network?.ports ?? []).map(({ host }) => host)
        must(hosts.includes(kept.host), "a port that is open is not listed any more")
        if (hosts.includes(lost.host)) return false
        return warnings.some((words) => words.includes(String(lost.host)))
      })
    },
  },
]
