import { skip } from "../../check.ts"
import { CLOSED, PUBLIC, ROUTER } from "../../world/world.ts"
import { output } from "../linux/stage.ts"
import type { Plan } from "../runtime/plan.ts"
import { guestPlan } from "./guests.ts"
import { mustReach } from "./reach.ts"

export const networkChangePlans: readonly Plan[] = [
  guestPlan("networks/way-out-by-ipv6", ["OVMS-NET-037"], (guests, { signal }) =>
    guests.inTurn(signal, async ({ open }) => {
      if (guests.network.ipv6_subnet === undefined) skip("the host has no IPv6")
      const route = ["default", "via", ROUTER.six, "dev", "near"]
      const ways = async () => Number(await output(open, "ip -6 route | grep -c ^default; true"))
      const follows = (count: number) =>
        open.runtime.within(
          `a guest is told of ${count} ways out by IPv6`,
          10_000,
          async () => (await ways()) === count,
        )
      await follows(1)
      guests.world.host.run("ip", "-6", "route", "delete", ...route)
      try {
        await follows(0)
      } finally {
        guests.world.host.run("ip", "-6", "route", "add", ...route)
      }
      await follows(1)
      await mustReach(guests.world, open, { yes: [PUBLIC.six], no: [CLOSED.six] })
    }),
  ),
]
