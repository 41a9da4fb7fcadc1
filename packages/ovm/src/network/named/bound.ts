import type { NamedNetwork, NetworkMember } from "./named-network.ts"

/** Interfaces of machines (host/tap.ts). */
const TAPS = '"ovmtap*"'

/**
 * The table of the bridge: nobody sends by the address of a machine that is another one's, and one that may not connect
 * to all that is public sends by no other than its own. Its place on the bridge holds its MAC address (tap.ts).
 */
export function boundText(
  { interface: name }: Pick<NamedNetwork, "interface">,
  members: readonly NetworkMember[],
): readonly string[] {
  const own = members.map(({ mac, address }) => `${mac} . ${address}`)
  const taken = members.map(({ address }) => address)
  const bound = members.flatMap(({ mac, reach }) => (reach ? [mac] : []))
  return [
    `table bridge ${name} {`,
    set("own", "ether_addr . ipv4_addr", own),
    set("taken", "ipv4_addr", taken),
    set("bound", "ether_addr", bound),
    "chain from {",
    "type filter hook prerouting priority filter; policy accept;",
    `iifname != ${TAPS} accept`,
    "ether saddr . ip saddr @own accept",
    "ip saddr @taken drop",
    "ether saddr @bound ip saddr != 0.0.0.0 drop",
    "ether saddr . arp saddr ip @own accept",
    "arp saddr ip @taken drop",
    "ether saddr @bound arp saddr ip != 0.0.0.0 drop",
    "}",
    "}",
  ]
}

function set(name: string, type: string, elements: readonly string[]): string {
  const has = elements.length > 0 ? `elements = { ${elements.join(", ")} };` : ""
  return `set ${name} { type ${type}; ${has} }`
}
