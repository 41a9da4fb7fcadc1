import { isIPv4 } from "node:net"
import { outboundRules } from "../rules.ts"
import type { NamedNetwork } from "./named-network.ts"
import { runProgram } from "./programs.ts"
import { gatewayOf, subnetText } from "./subnet.ts"

/**
 * Puts the rules of a network in the place of what there is of them, at once: a table of its own, which nobody else's
 * rules are in. They are there before the bridge is. Throws OVM_HOST_FAILED.
 */
export async function makeRules(network: NamedNetwork): Promise<void> {
  await runProgram("nft", ["-f", "-"], rulesText(network))
}

/** Throws OVM_HOST_FAILED. */
export async function removeRules({ interface: name }: Pick<NamedNetwork, "interface">): Promise<void> {
  // Without the first word it would be an error where there is none.
  await runProgram("nft", ["-f", "-"], `add table inet ${name}\ndelete table inet ${name}\n`)
}

/** What machines may send, and who may send to them (spec/networks.md). Exported for its test. */
export function rulesText({ interface: name, subnet, internal }: NamedNetwork): string {
  const closed = outboundRules().flatMap(({ open, network }) => (!open && isV4(network) ? [network] : []))
  const host = gatewayOf(subnet)
  const out = internal
    ? ["drop"]
    : [`ip saddr != ${subnetText(subnet)} drop`, "ip daddr @closed drop", "meta nfproto ipv6 drop", "accept"]
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
  return [
    `add table inet ${name}`,
    `delete table inet ${name}`,
    `table inet ${name} {`,
    `set closed { type ipv4_addr; flags interval; auto-merge; elements = { ${closed.join(", ")} }; }`,
    ...order.flatMap((chain) => [`chain ${chain} {`, ...(chains[chain] ?? []), "}"]),
    "}",
    "",
  ].join("\n")
}

function isV4(network: string): boolean {
  return isIPv4(network.split("/")[0] ?? "")
}
