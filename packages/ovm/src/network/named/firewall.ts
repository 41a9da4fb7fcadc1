import { outboundRules } from "../rules.ts"
import { boundText } from "./bound.ts"
import type { NamedNetwork, NetworkMember } from "./named-network.ts"
import { runProgram } from "./programs.ts"
import { isV4, plain, reachText } from "./reach-text.ts"
import { gatewayOf, subnetText } from "./subnet.ts"
import { gateway6Of } from "./subnet6.ts"

/** Of the tables that each network has. */
const FAMILIES = ["inet", "bridge"] as const

/**
 * Puts the rules of a network in the place of what there is of them, at once: tables of its own, which nobody else's
 * rules are in. They are there before the bridge is. Throws OVM_HOST_FAILED.
 */
export async function makeRules(rules: string): Promise<void> {
  await runProgram("nft", ["-f", "-"], rules)
}

let listing: Promise<readonly string[]> | undefined

/** This host's tables, a line each: one program for all who ask at once, as every network does with each look. */
async function tables(): Promise<readonly string[]> {
  listing ??= runProgram("nft", ["list", "tables"])
    .then((text) => text.split("\n"))
    .finally(() => {
      listing = undefined
    })
  return await listing
}

/** Whether they are there: whoever sets this host's own anew, as `nft flush ruleset` does, takes all away. */
export async function hasRules({ interface: name }: Pick<NamedNetwork, "interface">): Promise<boolean> {
  const found = await tables()
  return FAMILIES.every((family) => found.includes(`table ${family} ${name}`))
}

/** Throws OVM_HOST_FAILED. */
export async function removeRules({ interface: name }: Pick<NamedNetwork, "interface">): Promise<void> {
  await runProgram("nft", ["-f", "-"], `${withoutTables(name).join("\n")}\n`)
}

/** It would be an error to delete one that is not there. */
function withoutTables(name: string): readonly string[] {
  return FAMILIES.flatMap((family) => [`add table ${family} ${name}`, `delete table ${family} ${name}`])
}

/** What machines may send, and who may send to them (spec/networks.md). */
export function rulesText(network: NamedNetwork, members: readonly NetworkMember[] = []): string {
  const { interface: name, subnet, subnet6, internal } = network
  const bound = internal ? [] : members.filter(({ reach }) => reach)
  const chains: Readonly<Record<string, readonly string[]>> = {
    input: [
      "type filter hook input priority filter; policy accept;",
      `iifname != "${name}" accept`,
      ...inwards(network),
      "drop",
    ],
    forward: [
      "type filter hook forward priority filter; policy accept;",
      // What stays on the bridge comes by here where br_netfilter is loaded.
      `iifname "${name}" oifname "${name}" accept`,
      `iifname "${name}" jump out`,
      `oifname "${name}" ct state != { established, related } drop`,
    ],
    out: internal ? ["drop"] : outwards(network, bound),
    ...(!internal && {
      leave: [
        "type nat hook postrouting priority srcnat; policy accept;",
        `ip saddr ${subnetText(subnet)} oifname != "${name}" masquerade`,
        ...(subnet6 ? [`ip6 saddr ${subnet6} oifname != "${name}" masquerade`] : []),
      ],
    }),
  }
  // A chain is there before another one jumps to it.
  const order = ["out", "input", "forward", "leave"].filter((chain) => chains[chain])
  const own = bound.map(
    ({ address, reach = [] }) => [chainOf(address), reachText(reach, subnet6 !== undefined)] as const,
  )
  const all = [...own, ...order.map((chain) => [chain, chains[chain] ?? []] as const)]
  const closed = outboundRules().flatMap(({ open, network }) => (open ? [] : network))
  const closed6 = closed.filter((one) => !isV4(one)).map(plain)
  return [
    ...withoutTables(name),
    `table inet ${name} {`,
    intervals("closed", "ipv4_addr", closed.filter(isV4)),
    ...(subnet6 ? [intervals("closed6", "ipv6_addr", closed6)] : []),
    ...all.flatMap(([chain, rules]) => [`chain ${chain} {`, ...rules, "}"]),
    "}",
    ...boundText(network, members),
    "",
  ].join("\n")
}

/** What the host itself takes. */
function inwards({ subnet, subnet6 }: NamedNetwork): readonly string[] {
  const served = (family: string, address: string) =>
    `${family} daddr ${address} meta l4proto { tcp, udp } th dport 53 accept`
  const host = gatewayOf(subnet)
  const all = [
    "ct state established,related accept",
    "udp dport 67 accept",
    served("ip", host),
    `ip daddr ${host} icmp type echo-request accept`,
  ]
  if (subnet6 === undefined) return all
  const host6 = gateway6Of(subnet6)
  return [
    ...all,
    "udp sport 546 udp dport 547 accept",
    "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-solicit } accept",
    served("ip6", host6),
    `ip6 daddr ${host6} icmpv6 type echo-request accept`,
  ]
}

/** What leads out: by IPv4 a machine with a list is known by its address, by IPv6 by its MAC address (bound.ts). */
function outwards({ subnet, subnet6 }: NamedNetwork, bound: readonly NetworkMember[]): readonly string[] {
  const own6 = bound.map(
    ({ mac, address }) => `meta nfproto ipv6 ether saddr ${mac} goto ${chainOf(address)}`,
  )
  return [
    "ct state established,related accept",
    `ip saddr != ${subnetText(subnet)} drop`,
    ...bound.map(({ address }) => `ip saddr ${address} goto ${chainOf(address)}`),
    "ip daddr @closed drop",
    ...(subnet6
      ? [`ip6 saddr != ${subnet6} drop`, ...own6, "ip6 daddr @closed6 drop"]
      : ["meta nfproto ipv6 drop"]),
    "accept",
  ]
}

const chainOf = (address: string): string => `from_${address.replaceAll(".", "_")}`

function intervals(name: string, type: string, networks: readonly string[]): string {
  return `set ${name} { type ${type}; flags interval; auto-merge; elements = { ${networks.join(", ")} }; }`
}
