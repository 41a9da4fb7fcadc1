import { BlockList, isIPv6 } from "node:net"
import { networkInterfaces } from "node:os"
import { resolvers } from "./resolvers.ts"

/** A network that a guest may connect to, and the port of it if it is one alone. */
export interface AllowedNetwork {
  /** ADDRESS/PREFIX. */
  readonly network: string
  readonly port?: number
}

/** Of all that an address is in, the one with the longest prefix decides; of one length, one that is open. */
export interface OutboundRule {
  readonly open: boolean
  /** ADDRESS/PREFIX. */
  readonly network: string
  /** For this port of it alone, TCP or UDP. */
  readonly port?: number
}

/**
 * What a guest may not reach unless its operator says so: all that is not the public Internet (RFC 6890), and where
 * clouds tell their machines who they are. Amazon's `fd00:ec2::254` and Oracle's 192.0.0.192 are within these.
 */
const CLOSED: readonly string[] = [
  ...["0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"],
  ...["192.0.0.0/24", "192.168.0.0/16", "198.18.0.0/15", "224.0.0.0/3"],
  // Azure's, which looks like a public one.
  "168.63.129.16/32",
  // The last three hold IPv4 addresses, or did.
  ...["fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8", "::/96", "2001::/32", "2002::/16"],
]

/** A network's IPv4 addresses as an IPv6 host reaches them by a translator (RFC 6052). */
const TRANSLATED = "64:ff9b::"

const EVERYTHING: readonly AllowedNetwork[] = [{ network: "0.0.0.0/0" }, { network: "::/0" }]

/** The rules of a guest that may connect to `allowed`, or to whatever is public, and to this host's resolvers. */
export function outboundRules(allowed = EVERYTHING): readonly OutboundRule[] {
  return [
    ...allowed.map((one) => ({ ...one, open: true })),
    ...[...CLOSED, ...ownAddresses()].map((network) => ({ open: false, network })),
    ...resolvers().map((address) => ({ open: true, network: single(address), port: 53 })),
  ].flatMap(translated)
}

/** Whether the network is within one that is closed unless it is allowed; as ADDRESS/PREFIX. */
export function isClosed(network: string): boolean {
  return [...CLOSED, "::ffff:0:0/96", ...ownAddresses()].some((closed) => isWithin(network, closed))
}

/** Whether all of the network `inner` is in `outer`; both as ADDRESS/PREFIX. */
export function isWithin(inner: string, outer: string): boolean {
  const [address = "", bits] = inner.split("/")
  const [network = "", prefix] = outer.split("/")
  if (isIPv6(address) !== isIPv6(network) || Number(bits) < Number(prefix)) return false
  const family = isIPv6(address) ? "ipv6" : "ipv4"
  const list = new BlockList()
  list.addSubnet(network, Number(prefix), family)
  return list.check(address, family)
}

/** This host's, as they are now. */
function ownAddresses(): readonly string[] {
  return Object.values(networkInterfaces()).flatMap((all = []) => all.map(({ address }) => single(address)))
}

function single(address: string): string {
  return `${address}/${isIPv6(address) ? 128 : 32}`
}

function translated(rule: OutboundRule): readonly OutboundRule[] {
  const [address = "", prefix] = rule.network.split("/")
  if (isIPv6(address)) return [rule]
  return [rule, { ...rule, network: `${TRANSLATED}${address}/${Number(prefix) + 96}` }]
}
