import { isIPv4 } from "node:net"
import { type AllowedNetwork, reachRules, translated } from "../rules.ts"
import { canonical } from "./subnet6.ts"

/**
 * What a machine with a list may connect to, in nft's words: the longest prefix first, and of one length what is open,
 * since the first one that an address is in decides.
 */
export function reachText(reach: readonly AllowedNetwork[], ipv6: boolean): readonly string[] {
  const bits = ({ network }: AllowedNetwork) => Number(network.split("/")[1])
  const sorted = reachRules(reach)
    .flatMap(translated)
    .filter(({ network }) => ipv6 || isV4(network))
    .toSorted((one, other) => bits(other) - bits(one) || Number(other.open) - Number(one.open))
  const lines = sorted.map(({ open, network, port }) => {
    const to = port === undefined ? "" : ` meta l4proto { tcp, udp } th dport ${port}`
    return `${isV4(network) ? "ip" : "ip6"} daddr ${plain(network)}${to} ${open ? "accept" : "drop"}`
  })
  return [...new Set(lines), "drop"]
}

export function isV4(network: string): boolean {
  return isIPv4(network.split("/")[0] ?? "")
}

/** Without an IPv4 address in it, which nft does not read. */
export function plain(network: string): string {
  const [address = "", bits] = network.split("/")
  return isV4(network) ? network : `${canonical(address)}/${bits}`
}
