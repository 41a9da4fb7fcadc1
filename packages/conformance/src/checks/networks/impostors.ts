import { frameBy, sendsFrame } from "../../artifact/sends-frame.ts"
import { must, skip } from "../../check.ts"
import { output } from "../linux/stage.ts"
import type { Plan } from "../runtime/plan.ts"
import { addressBytes, datagram, icmp, linkLocal } from "./frames.ts"
import { type Guest, gatewaysOf, guestPlan } from "./guests.ts"

/** A prefix that nobody has, of which a guest makes an address if a router says so. */
const STRANGE = "2001:db8:bad"
const ECHO = 128
const ROUTER = 134
const ADVERTISEMENT = 136
const REDIRECT = 137

/** Sends these frames, one after the other. */
async function sent(guest: Guest, frames: readonly Buffer[]): Promise<void> {
  const index = Number(await output(guest, `cat /sys/class/net/${guest.nic}/ifindex`))
  const all = frames.map((frame) => frameBy(index, frame).toString("base64")).join(" ")
  await output(
    guest,
    `echo ${sendsFrame().toString("base64")} | base64 -d >/suite-sends; chmod 755 /suite-sends
    for frame in ${all}; do echo $frame | base64 -d >/suite-frame; /suite-sends </suite-frame; done`,
  )
}

/** How many of each a guest has had: echo requests, redirects, and datagrams to ports at which nobody listens. */
async function counts(guest: Guest) {
  const named = (name: string) => `awk '$1 == "${name}" { print $2 }' /proc/net/snmp6`
  const ports = "awk '/^Udp: [0-9]/ { print $3 }' /proc/net/snmp"
  const names = ["Icmp6InEchos", "Icmp6InRedirects", "Udp6NoPorts"]
  const found = (await output(guest, [...names.map(named), ports].join("; "))).split("\n").map(Number)
  const [echoes = 0, redirects = 0, six = 0, four = 0] = found
  return { echoes, redirects, six, four }
}

type All = Readonly<Record<"open" | "shut" | "listed", Guest & { readonly ipv6: string }>>

/** What says that who sends it is somebody else, or serves the network; and what does not, and comes behind it. */
function frames({ open, shut, listed }: All, gateway: string) {
  const to = { mac: shut.mac, address: shut.ipv6 }
  const as = (address: string) => ({ from: { mac: listed.mac, address }, to })
  const own = as(listed.ipv6)
  const link = as(linkLocal(listed.mac))
  const four = { from: { mac: listed.mac, address: listed.address }, to: { ...to, address: shut.address } }
  const echo = (address: string) => icmp(as(address), ECHO, Buffer.from([0, 1, 0, 1]))
  const mac = (type: number) =>
    Buffer.from([type, 1, ...listed.mac.split(":").map((byte) => Number(`0x${byte}`))])
  const claims = (address: string) =>
    icmp(own, ADVERTISEMENT, Buffer.from([0x60, 0, 0, 0]), addressBytes(address), mac(2))
  const prefix = Buffer.concat([
    Buffer.from("03 04 40 c0 0000ffff 0000ffff 00000000".replaceAll(" ", ""), "hex"),
    addressBytes(`${STRANGE}::`),
  ])
  const router = Buffer.from("4000 0000 00000000 00000000".replaceAll(" ", ""), "hex")
  return {
    bad: [
      ...[open.ipv6, gateway].flatMap((address) => [echo(address), claims(address)]),
      icmp(link, ROUTER, router, prefix, mac(1)),
      icmp(link, REDIRECT, Buffer.alloc(4), addressBytes(linkLocal(listed.mac)), addressBytes(open.ipv6)),
      datagram(own, 547, 546),
      datagram(four, 67, 68),
    ],
    good: [echo(listed.ipv6), datagram(own, 5000, 5001), datagram(four, 5000, 5001)],
  }
}

async function impostor(all: All, gateway: string): Promise<void> {
  const { open, shut, listed } = all
  // So that it has a neighbour to be mistaken about.
  for (const address of [open.ipv6, gateway]) await output(shut, `ping6 -c 1 -W 5 ${address}`)
  const before = await counts(shut)
  const { bad, good } = frames(all, gateway)
  await sent(listed, [...bad, ...good])
  const rise = await shut.runtime.until(
    `what ${listed.name} says as itself comes to ${shut.name}`,
    async () => {
      const now = await counts(shut)
      const more = {
        echoes: now.echoes - before.echoes,
        six: now.six - before.six,
        four: now.four - before.four,
      }
      return (
        Object.values(more).every((one) => one > 0) && {
          ...more,
          redirects: now.redirects - before.redirects,
        }
      )
    },
  )
  const found = await output(shut, "ip -6 neigh; ip -6 addr; ip -6 route")
  const mistaken = [open.ipv6, gateway].filter((address) =>
    found.split("\n").some((line) => line.startsWith(`${address} `) && line.includes(listed.mac)),
  )
  const passedOn = {
    "what is sent from the IPv6 address of another one, or of the host": rise.echoes > 1,
    "what says of such an address that it is its own": mistaken.length > 0,
    "what a router says": found.includes(STRANGE),
    "a redirect": rise.redirects > 0,
    "what a server of DHCPv6 sends": rise.six > 1,
    "what a server of DHCP sends": rise.four > 1,
  }
  const wrong = Object.entries(passedOn).flatMap(([words, is]) => (is ? [words] : []))
  must(wrong.length === 0, `of a machine is passed on: ${wrong.join("; ")}`)
}

export const networkImpostorPlans: readonly Plan[] = [
  guestPlan("networks/impostor", ["OVMS-NET-039"], (guests, { signal }) =>
    guests.inTurn(signal, async ({ open, shut, listed }) => {
      const [, gateway] = gatewaysOf(guests.network)
      const all = { open, shut, listed }
      if (gateway === undefined || !isByIpv6(all)) skip("the host has no IPv6")
      await impostor(all, gateway)
    }),
  ),
]

function isByIpv6(all: Readonly<Record<string, Guest>>): all is All {
  return Object.values(all).every(({ ipv6 }) => ipv6 !== undefined)
}
