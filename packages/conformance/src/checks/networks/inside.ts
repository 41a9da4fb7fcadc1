import { must } from "../../check.ts"
import { PORT } from "../../world/peer.ts"
import { CLOSED, HOST, PUBLIC, ROUTER } from "../../world/world.ts"
import { inside, output } from "../linux/stage.ts"
import type { Plan } from "../runtime/plan.ts"
import { type Guest, gatewaysOf, guestPlan } from "./guests.ts"
import { leased } from "./lease.ts"
import { mustReach, reached, toldBy } from "./reach.ts"

/** The addresses that a resolver gives of a name. */
async function looked(guest: Guest, name: string, resolver: string, type = "a"): Promise<readonly string[]> {
  const { stdout } = await inside(guest, `nslookup -type=${type} ${name} ${resolver}`)
  const [, answer = ""] = stdout.split(/^(?:Name:|Non-authoritative answer:)/m)
  return [...answer.matchAll(/^Address(?: \d+)?: *(\S+)/gm)].map(([, address = ""]) => address)
}

export const networkInsidePlans: readonly Plan[] = [
  guestPlan(
    "networks/names",
    ["OVMS-NET-004", "OVMS-NET-005", "OVMS-NET-035", "OVMS-NET-036"],
    (guests, { signal }) =>
      guests.inTurn(signal, async ({ open, shut }) => {
        const { dns, address } = await leased(shut)
        must(dns, "DHCP tells a guest of no resolver")
        must(address === shut.address, `a lease that is asked for again is of ${address}`)
        await leased(open, "-x hostname:suite-stolen -x hostname:suite-shut -F suite-stolen")
        for (const name of [open.name, `${open.name}.ovm.internal`]) {
          const found = await looked(shut, name, dns)
          must(found.join() === open.address, `${name} is ${found}, and not ${open.address}`)
          if (open.ipv6 === undefined) continue
          for (const resolver of [dns, guests.network.ipv6_gateway ?? dns]) {
            const six = await looked(shut, name, resolver, "aaaa")
            must(six.join() === open.ipv6, `${name} is ${six} by IPv6, and not ${open.ipv6}`)
          }
        }
        const own = await looked(open, shut.name, dns)
        must(own.join() === shut.address, `${shut.name} is ${own} since another guest has called itself that`)
        const stolen = await looked(shut, "suite-stolen", dns)
        must(stolen.length === 0, "the resolver takes a name from a guest")
      }),
  ),
  guestPlan(
    "networks/what-they-reach",
    ["OVMS-NET-007", "OVMS-NET-008", "OVMS-NET-038"],
    (guests, { signal }) =>
      guests.inTurn(signal, async ({ open, shut }) => {
        const { world, network } = guests
        const six = open.ipv6 === undefined ? [] : [PUBLIC.six]
        const no = [...Object.values(HOST), ...Object.values(CLOSED), ...gatewaysOf(network)]
        await mustReach(world, open, { yes: [PUBLIC.four, ...six], no })
        const from = world.outside.peer().contacts.map((one) => one.from)
        const allowed: readonly string[] = Object.values(HOST)
        const stranger = from.find((one) => /^[\d.]+$/.test(one) && !allowed.includes(one))
        must(stranger === undefined, `a guest connects to others by the address ${stranger}`)
        for (const gateway of gatewaysOf(network)) await output(open, `ping -c 1 -W 5 ${gateway}`)
        for (const address of [shut.address, shut.ipv6])
          must(
            address === undefined || (await toldBy(open, address)).startsWith(`of ${shut.name}`),
            `${open.name} does not reach ${shut.name} by ${address}`,
          )
        const answer = await world.host.peer().ask(open.address, 7070)
        must(answer?.startsWith(`of ${open.name}`), "a guest does not answer its host")
      }),
  ),
  guestPlan(
    "networks/what-one-reaches",
    ["OVMS-NET-020", "OVMS-NET-021", "OVMS-NET-038", "OVMS-API-261"],
    (guests, { signal }) =>
      guests.inTurn(signal, async ({ open, shut, listed, alone }) => {
        const outside = [...Object.values(PUBLIC), ...Object.values(CLOSED), ROUTER.four, ROUTER.six]
        await mustReach(guests.world, shut, { no: [...outside, ...Object.values(HOST)] })
        must((await toldBy(shut, open.address)).startsWith("of "), `${shut.name} does not reach its network`)
        for (const guest of [listed, alone]) {
          const six = guest.ipv6 === undefined ? [] : [CLOSED.six]
          const no = [PUBLIC.six, CLOSED.metadata, ROUTER.four, ROUTER.six, ...Object.values(HOST)]
          await mustReach(guests.world, guest, { yes: [CLOSED.four, ...six], no })
          const other = await reached(guest, [CLOSED.four], PORT + 1)
          must(other.length === 0, `${guest.name} reaches another port than is in its list`)
        }
        must(
          (await toldBy(listed, open.address)).startsWith("of "),
          `${listed.name} does not reach its network`,
        )
      }),
  ),
]
