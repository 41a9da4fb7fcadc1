import { readFileSync } from "node:fs"
import { isIPv6 } from "node:net"
import { OvmError } from "../../errors.ts"
import type { NamedNetwork } from "./named-network.ts"
import { runProgram } from "./programs.ts"
import { setting } from "./settings.ts"
import { gatewayOf, ipv4Network, type Subnet } from "./subnet.ts"
import { gateway6Of, ROUTER } from "./subnet6.ts"

interface Link {
  readonly ifname: string
  readonly linkinfo?: { readonly info_kind?: string }
}

/**
 * Makes the bridge, or what is missing of it, and has it up with the host's own addresses. In a network without IPv6
 * that is off on the host's side of it. Throws OVM_HOST_FAILED.
 */
export async function makeBridge({ interface: name, subnet, subnet6 }: NamedNetwork): Promise<void> {
  if (!isThere(name)) await runProgram("ip", ["link", "add", "name", name, "type", "bridge"])
  else if ((await kindOf(name)) !== "bridge")
    throw new OvmError("OVM_HOST_FAILED", `the interface ${name} of this host is no bridge, and not ours`)
  setting(`net/ipv6/conf/${name}/disable_ipv6`, subnet6 === undefined ? "1" : "0")
  await runProgram("ip", ["addr", "replace", `${gatewayOf(subnet)}/${subnet.bits}`, "dev", name])
  if (subnet6 !== undefined) {
    setting(`net/ipv6/conf/${name}/accept_ra`, "0")
    await runProgram("ip", ["link", "set", "dev", name, "addrgenmode", "none"])
    for (const address of [ROUTER, gateway6Of(subnet6)])
      await runProgram("ip", ["addr", "replace", `${address}/64`, "dev", name, "nodad"])
  }
  await runProgram("ip", ["link", "set", "dev", name, "up"])
}

/** Has the host pass on what goes from one interface to another (ip(7)). */
export function letForward(): void {
  setting("net/ipv4/ip_forward", "1")
}

/** Throws OVM_HOST_FAILED. */
export async function removeBridge(name: string): Promise<void> {
  if (isThere(name)) await runProgram("ip", ["link", "delete", "dev", name, "type", "bridge"])
}

/** Whether this process's host has an interface of that name: not by /sys, which may be another namespace's. */
export function isThere(name: string): boolean {
  return readFileSync("/proc/self/net/dev", "utf8")
    .split("\n")
    .some((line) => line.trimStart().startsWith(`${name}:`))
}

/** Names of the interfaces that are connected to it. */
export async function portsOf(name: string): Promise<readonly string[]> {
  if (!isThere(name)) return []
  const links = JSON.parse((await runProgram("ip", ["-j", "link", "show", "master", name])) || "[]")
  return (links as readonly Link[]).map(({ ifname }) => ifname)
}

/** What addresses of IPv4 this host has a way to, but for the default one. */
export async function routedSubnets(): Promise<readonly Subnet[]> {
  return (await routes("-4")).flatMap((one) => ipv4Network(one) ?? []).filter(({ bits }) => bits > 0)
}

/** The same of IPv6, as ADDRESS/BITS. */
export async function routedSubnets6(): Promise<readonly string[]> {
  const all = (await routes("-6")).map((one) => (one.includes("/") ? one : `${one}/128`))
  return all.filter((one) => isIPv6(one.split("/")[0] ?? "") && !one.endsWith("/0"))
}

async function routes(family: "-4" | "-6"): Promise<readonly string[]> {
  const found = await runProgram("ip", ["-j", family, "route", "show", "table", "all"])
  const all = JSON.parse(found || "[]") as readonly { readonly dst?: string }[]
  return all.map(({ dst = "default" }) => dst)
}

async function kindOf(name: string): Promise<string | undefined> {
  const [link] = JSON.parse(await runProgram("ip", ["-j", "-d", "link", "show", "dev", name])) as Link[]
  return link?.linkinfo?.info_kind
}
