import type { NamedNetwork, NetworkMember } from "./named-network.ts"
import { gatewayOf } from "./subnet.ts"
import { gateway6Of, linkLocalOf, machine6Of, ROUTER, rawOf } from "./subnet6.ts"

/** Interfaces of machines (host/tap.ts). */
const TAPS = '"ovmtap*"'

/** Whom an advertisement is of, behind eight bytes: nft of Debian 12 has no word for it. */
const TARGET = "@th,64,128"

/**
 * The table of the bridge: nobody sends by an address that is the host's or another machine's, or says that it is where
 * such a one is, and nobody but the host is a router or gives addresses. One that may not connect to all that is public
 * sends by no other IPv4 address than its own; by IPv6 it is known by its MAC address, which its place on the bridge
 * holds (tap.ts, firewall.ts).
 */
export function boundText(
  { interface: name, subnet, subnet6 }: Pick<NamedNetwork, "interface" | "subnet" | "subnet6">,
  members: readonly NetworkMember[],
): readonly string[] {
  const own = members.map(({ mac, address }) => `${mac} . ${address}`)
  const taken = [gatewayOf(subnet), ...members.map(({ address }) => address)]
  const bound = members.flatMap(({ mac, reach }) => (reach ? [mac] : []))
  const own6 = members.flatMap(({ mac }) =>
    [linkLocalOf(mac), ...(subnet6 ? [machine6Of(subnet6, mac)] : [])].map((address) => ({ mac, address })),
  )
  const host6 = [ROUTER, ...(subnet6 ? [gateway6Of(subnet6)] : [])]
  const taken6 = [...host6, ...own6.map(({ address }) => address)]
  return [
    `table bridge ${name} {`,
    set("own", "ether_addr . ipv4_addr", own),
    set("taken", "ipv4_addr", taken),
    set("bound", "ether_addr", bound),
    set(
      "own6",
      "ether_addr . ipv6_addr",
      own6.map(({ mac, address }) => `${mac} . ${address}`),
    ),
    set("taken6", "ipv6_addr", taken6),
    "chain target {",
    ...(own6.length > 0
      ? [
          `ether saddr . ${TARGET} ${oneOf(own6.map(({ mac, address }) => `${mac} . ${rawOf(address)}`))} return`,
        ]
      : []),
    `${TARGET} ${oneOf(taken6.map(rawOf))} drop`,
    "}",
    "chain from {",
    "type filter hook prerouting priority filter; policy accept;",
    `iifname != ${TAPS} accept`,
    // Behind one VLAN tag the kernel looks by itself; a guest takes what is behind two of no VLAN for untagged.
    "meta protocol { 0x8100, 0x88a8 } drop",
    "icmpv6 type { nd-router-advert, nd-redirect } drop",
    // What finds neighbours and routers has this limit, and need not be in pieces (RFC 6980).
    "ip6 hoplimit 255 exthdr frag exists drop",
    "udp sport { 67, 547 } drop",
    "ether saddr . ip saddr @own accept",
    "ip saddr @taken drop",
    "ether saddr @bound ip saddr != 0.0.0.0 drop",
    "ether saddr . arp saddr ip @own accept",
    "arp saddr ip @taken drop",
    "ether saddr @bound arp saddr ip != 0.0.0.0 drop",
    "icmpv6 type nd-neighbor-advert jump target",
    "ether saddr . ip6 saddr @own6 accept",
    "ip6 saddr @taken6 drop",
    "}",
    "}",
  ]
}

const oneOf = (all: readonly string[]): string => `{ ${all.join(", ")} }`

function set(name: string, type: string, elements: readonly string[]): string {
  const has = elements.length > 0 ? `elements = ${oneOf(elements)};` : ""
  return `set ${name} { type ${type}; ${has} }`
}
