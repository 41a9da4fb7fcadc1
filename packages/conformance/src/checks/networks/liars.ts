import { must } from "../../check.ts"
import { CLOSED, PUBLIC } from "../../world/world.ts"
import { output } from "../linux/stage.ts"
import type { Plan } from "../runtime/plan.ts"
import { type Guest, type Guests, guestPlan } from "./guests.ts"
import { leased } from "./lease.ts"
import { mustReach, toldBy } from "./reach.ts"

/** What a guest does as somebody else, and what puts it right again. */
async function posing(guest: Guest, how: string, use: () => Promise<void>): Promise<void> {
  const way = "r=$(ip route | sed -n 's/^default via \\([^ ]*\\).*/\\1/p')"
  await output(
    guest,
    `${way}; echo $r >/suite-router; bits=$(ip -4 -o addr show ${guest.nic} | awk '{ print $4 }')
    echo $bits >/suite-bits; ${how}`,
  )
  try {
    await use()
  } finally {
    const { nic } = guest
    await output(
      guest,
      `ip link set ${nic} down; ip link set ${nic} address ${guest.mac}; ip link set ${nic} up
      ip -4 addr flush dev ${nic}; ip addr add $(cat /suite-bits) dev ${nic}
      ip route replace default via $(cat /suite-router) dev ${nic}`,
    )
  }
}

/** How a guest sends from an address, as if that were its own. */
const as = ({ nic }: Guest, address: string) =>
  `ip addr add ${address}/24 dev ${nic} 2>/dev/null; ip route replace default via $r dev ${nic} src ${address}`

/** Neither as another machine, nor, with a list, as nobody. */
async function byAddress({ world, network }: Guests, one: Guest, other: Guest): Promise<void> {
  const free = network.gateway.replace(/\d+$/, "250")
  for (const address of [other.address, free])
    await posing(one, as(one, address), () => mustReach(world, one, { no: [CLOSED.four, PUBLIC.four] }))
  await mustReach(world, one, { yes: [CLOSED.four] })
}

/** No lease for whom the network does not know, and what is for another machine does not come to one with its MAC. */
async function byMac({ world }: Guests, { listed, open, shut }: Record<"listed" | "open" | "shut", Guest>) {
  const { nic } = listed
  const called = (mac: string) =>
    `ip link set ${nic} down; ip link set ${nic} address ${mac}; ip link set ${nic} up; true`
  await posing(listed, called("02:00:00:00:00:99"), async () => {
    const { address } = await leased(listed)
    must(address === "", `${address} was given to a MAC address that no machine has`)
  })
  const taken = `${called(open.mac)}; ip -4 addr flush dev ${nic}; ip addr add ${open.address}/24 dev ${nic}`
  await posing(listed, taken, async () => {
    await output(
      listed,
      `arping -U -c 3 -w 3 -I ${nic} ${open.address} >/dev/null; ping -c 2 -W 1 ${shut.address} >/dev/null; true`,
    )
    const told = await toldBy(shut, open.address)
    must(told.startsWith(`of ${open.name}`), `what is for ${open.name} comes to ${told || "nobody"}`)
    const answer = await world.host.peer().ask(open.address, 7070)
    must(answer?.startsWith(`of ${open.name}`), `what the host has for ${open.name} comes to another machine`)
  })
}

export const networkLiarPlans: readonly Plan[] = [
  guestPlan("networks/who-says-another-address", ["OVMS-NET-006", "OVMS-NET-023"], (guests, { signal }) =>
    guests.inTurn(signal, async ({ open, shut, listed }) => {
      await byAddress(guests, listed, open)
      await byMac(guests, { listed, open, shut })
      await mustReach(guests.world, listed, { yes: [CLOSED.four] })
    }),
  ),
]
