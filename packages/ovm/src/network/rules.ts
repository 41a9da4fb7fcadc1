import { isIPv6 } from "node:net"
import { networkInterfaces } from "node:os"
import { isWithin, NOT_PUBLIC, single } from "../host/networks.ts"
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

/** A network's IPv4 addresses as an IPv6 host reaches them by a translator (RFC 6052). */
const TRANSLATED = "64:ff9b::"

const EVERYTHING: readonly AllowedNetwork[] = [{ network: "0.0.0.0/0" }, { network: "::/0" }]

/** The rules of a guest that may connect to `allowed`, or to whatever is public, and to this host's resolvers. */
export function outboundRules(allowed = EVERYTHING): readonly OutboundRule[] {
  return [
    ...reachRules(allowed),
    ...resolvers().map((address) => ({ open: true, network: single(address), port: 53 })),
  ].flatMap(translated)
}

/** What of it is open. */
export function openRules(allowed: readonly AllowedNetwork[]): readonly OutboundRule[] {
  return outboundRules(allowed).filter(({ open }) => open)
}

/** The same without the resolvers, and without what IPv4 is called within IPv6. */
export function reachRules(allowed: readonly AllowedNetwork[]): readonly OutboundRule[] {
  return [
    ...allowed.map((one) => ({ ...one, open: true })),
    ...[...NOT_PUBLIC, ...ownAddresses()].map((network) => ({ open: false, network })),
  ]
}

/** Whether the network is within one that is closed unless it is allowed; as ADDRESS/PREFIX. */
export function isClosed(network: string): boolean {
  return [...NOT_PUBLIC, "::ffff:0:0/96", ...ownAddresses()].some((closed) => isWithin(network, closed))
}

/** This host's, as they are now. */
function ownAddresses(): readonly string[] {
  return Object.values(networkInterfaces()).flatMap((all = []) => all.map(({ address }) => single(address)))
}

/** The same, and what it is called within IPv6. */
export function translated(rule: OutboundRule): readonly OutboundRule[] {
  const [address = "", prefix] = rule.network.split("/")
  if (isIPv6(address)) return [rule]
  return [rule, { ...rule, network: `${TRANSLATED}${address}/${Number(prefix) + 96}` }]
}
