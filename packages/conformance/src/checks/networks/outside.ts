import { must } from "../../check.ts"
import { type Peer, SILENCE } from "../../world/peer.ts"
import { HOST } from "../../world/world.ts"
import type { Plan } from "../runtime/plan.ts"
import { GUEST_PORT, type Guest, type Guests, gatewaysOf, guestPlan } from "./guests.ts"
import { reached } from "./reach.ts"

const PORTS = "POST /instances/{instance_id}/ports"

/** The port of the host that leads to a guest, by an address of it. */
async function portOf({ runtime, id }: Guest, address: string, protocol = "tcp"): Promise<number> {
  const ports: readonly Port[] = (await runtime.status(id)).network?.ports ?? []
  return ports.find((one) => one.address === address && one.protocol === protocol)?.host ?? 0
}

interface Port {
  readonly host: number
  readonly address?: string
  readonly protocol?: string
}

/** Whoever sends to a UDP port is answered, and in a network that is shared by the address that it has sent to. */
async function byUdp({ world }: Guests, guest: Guest, anybody: boolean): Promise<void> {
  const four = await portOf(guest, "0.0.0.0", "udp")
  must(four > 0, `no UDP port of ${guest.name} is listed`)
  const six = await portOf(guest, "::", "udp")
  for (const address of ["127.0.0.1", "::1", ...Object.values(HOST)]) {
    const port = address.includes(":") ? six : four
    if (port === 0) continue
    const ask = (peer: Peer) => peer.ask(address, port, { protocol: "udp", anybody })
    const near = await ask(world.host.peer())
    must(near === "hello\n", `${guest.name} does not answer a client on the host by UDP to ${address}`)
    if (address === "127.0.0.1" || address === "::1") continue
    const far = await ask(world.outside.peer())
    must(far === "hello\n", `${guest.name} does not answer a client beyond the host by UDP to ${address}`)
  }
}

export const networkOutsidePlans: readonly Plan[] = [
  guestPlan("networks/who-reaches-them", ["OVMS-NET-009", "OVMS-NET-038"], (guests, { signal }) =>
    guests.inTurn(signal, async ({ open }) => {
      const { world, network } = guests
      const { outside, host } = world
      outside.run("ip", "route", "replace", network.subnet, "via", HOST.four)
      if (network.ipv6_subnet !== undefined)
        outside.run("ip", "route", "replace", network.ipv6_subnet, "via", HOST.six)
      for (const address of [open.address, open.ipv6]) {
        if (address === undefined) continue
        const by = await host.peer().ask(address, GUEST_PORT)
        must(by?.startsWith(`of ${open.name}`), `the host does not reach ${open.name} by ${address}`)
        const heard = await outside.peer().ask(address, GUEST_PORT, SILENCE)
        must(heard === undefined, `somebody beyond the host reaches ${open.name} by ${address}`)
      }
      const port = await portOf(open, "0.0.0.0")
      const heard = await outside.peer().ask(HOST.four, port)
      must(heard?.startsWith(`of ${open.name}`), "nobody beyond the host reaches a guest by its port")
    }),
  ),
  guestPlan(
    "networks/ports",
    ["OVMS-NET-030", "OVMS-NET-031", "OVMS-NET-032", "OVMS-NET-040"],
    (guests, { signal }) =>
      guests.inTurn(signal, async ({ open, shut, alone }) => {
        const { world, network } = guests
        const [four, six] = [await portOf(open, "0.0.0.0"), await portOf(open, "::")]
        for (const [address, port] of [
          ["127.0.0.1", four],
          [HOST.four, four],
          ["::1", six],
          [HOST.six, six],
        ] as const) {
          const heard = (await world.host.peer().ask(address, port)) ?? ""
          must(heard.startsWith(`of ${open.name}`), `no guest answers a client on the host by ${address}`)
          const seen = gatewaysOf(network).some((gateway) => heard.includes(`${gateway}:`))
          must(seen, `a guest sees its client as another than the host's address: ${heard}`)
          const beyond = /^(127|::1)/.test(address) || (await world.outside.peer().ask(address, port))
          must(beyond, `no guest answers a client beyond the host by ${address}`)
        }
        for (const guest of [open, shut])
          for (const port of [four, six]) {
            const found = await reached(guest, [...gatewaysOf(network), ...Object.values(HOST)], port)
            must(found.length === 0, `${guest.name} reaches a port of the host by ${found}`)
          }
        await byUdp(guests, open, false)
        await byUdp(guests, alone, true)
        const { runtime, id } = shut
        const body = { guest: GUEST_PORT }
        const added = await runtime.ask<{ host: number }>(PORTS, id, { body })
        const ask = (limit = {}) => world.host.peer().ask("127.0.0.1", added.host, limit)
        must(
          (await ask())?.startsWith(`of ${shut.name}`),
          "a port that was added does not lead to its machine",
        )
        await runtime.ask("DELETE /instances/{instance_id}/ports", id, { query: `host=${added.host}` })
        must((await ask(SILENCE)) === undefined, "a port that was taken back leads to its machine")
      }),
  ),
]
