import { isIPv4 } from "node:net"
import { type OutboundRule, outboundRules, reachRules } from "../rules.ts"
import { boundText } from "./bound.ts"
import type { NamedNetwork, NetworkMember } from "./named-network.ts"
import { runProgram } from "./programs.ts"
import { gatewayOf, subnetText } from "./subnet.ts"

/**
 * Puts the rules of a network in the place of what there is of them, at once: tables of its own, which nobody else's
 * rules are in. They are there before the bridge is. Throws OVM_HOST_FAILED.
 */
export async function makeRules(rules: string): Promise<void> {
  await runProgram("nft", ["-f", "-"], rules)
}

/** Throws OVM_HOST_FAILED. */
export async function removeRules({ interface: name }: Pick<NamedNetwork, "interface">): Promise<void> {
  await runProgram("nft", ["-f", "-"], `${withoutTables(name).join("\n")}\n`)
}

/** It would be an error to delete one that is not there. */
function withoutTables(name: string): readonly string[] {
  return ["inet", "bridge"].flatMap((family) => [
    `add table ${family} ${name}`,
    `delete table ${family} ${name}`,
  ])
}

/** What machines may send, and who may send to them (spec/networks.md). */
export function rulesText(network: NamedNetwork, members: readonly NetworkMember[] = []): string {
  const { interface: name, subnet, internal } = network
  const closed = outboundRules().flatMap(({ open, network }) => (!open && isV4(network) ? [network] : []))
  const host = gatewayOf(subnet)
  const bound = internal ? [] : members.filter(({ reach }) => reach)
  const out = internal
    ? ["drop"]
    : [
        `ip saddr != ${subnetText(subnet)} drop`,
        ...bound.map(({ address }) => `ip saddr ${address} goto ${chainOf(address)}`),
        "ip daddr @closed drop",
        "meta nfproto ipv6 drop",
        "accept",
      ]
  const chains: Readonly<Record<string, readonly string[]>> = {
    input: [
      "type filter hook input priority filter; policy accept;",
      `iifname != "${name}" accept`,
      "ct state established,related accept",
      "udp dport 67 accept",
      `ip daddr ${host} meta l4proto { tcp, udp } th dport 53 accept`,
      `ip daddr ${host} icmp type echo-request accept`,
      "drop",
    ],
    forward: [
      "type filter hook forward priority filter; policy accept;",
      // What stays on the bridge comes by here where br_netfilter is loaded.
      `iifname "${name}" oifname "${name}" accept`,
      `iifname "${name}" jump out`,
      `oifname "${name}" ct state != { established, related } drop`,
    ],
    out: [...(internal ? [] : ["ct state established,related accept"]), ...out],
    ...(!internal && {
      leave: [
        "type nat hook postrouting priority srcnat; policy accept;",
        `ip saddr ${subnetText(subnet)} oifname != "${name}" masquerade`,
      ],
    }),
  }
  // A chain is there before another one jumps to it.
  const order = ["out", "input", "forward", "leave"].filter((chain) => chains[chain])
  const own = bound.map(
    ({ address, reach = [] }) => [chainOf(address), reachText(reachRules(reach))] as const,
  )
  const all = [...own, ...order.map((chain) => [chain, chains[chain] ?? []] as const)]
  return [
    ...withoutTables(name),
    `table inet ${name} {`,
    `set closed { type ipv4_addr; flags interval; auto-merge; elements = { ${closed.join(", ")} }; }`,
    ...all.flatMap(([chain, rules]) => [`chain ${chain} {`, ...rules, "}"]),
    "}",
    ...boundText(network, members),
    "",
  ].join("\n")
}

const chainOf = (address: string): string => `from_${address.replaceAll(".", "_")}`

/** The longest prefix first, and of one length what is open: the first one that an address is in decides. */
function reachText(rules: readonly OutboundRule[]): readonly string[] {
  const bits = ({ network }: OutboundRule) => Number(network.split("/")[1])
  const sorted = rules
    .filter(({ network }) => isV4(network))
    .toSorted((one, other) => bits(other) - bits(one) || Number(other.open) - Number(one.open))
  const lines = sorted.map(({ open, network, port }) => {
    const to = port === undefined ? "" : ` meta l4proto { tcp, udp } th dport ${port}`
    return `ip daddr ${network}${to} ${open ? "accept" : "drop"}`
  })
  return [...new Set(lines), "drop"]
}

function isV4(network: string): boolean {
  return isIPv4(network.split("/")[0] ?? "")
}
