import { readFileSync, writeFileSync } from "node:fs"
import { OvmError } from "../../errors.ts"
import type { NamedNetwork } from "./named-network.ts"
import { runProgram } from "./programs.ts"
import { gatewayOf, ipv4Network, type Subnet } from "./subnet.ts"

interface Link {
  readonly ifname: string
  readonly linkinfo?: { readonly info_kind?: string }
}

/**
 * Makes the bridge, or what is missing of it, and has it up with the host's own address. IPv6 is off on the host's side
 * of it: the rules of the network are of IPv4 (firewall.ts). Throws OVM_HOST_FAILED.
 */
export async function makeBridge({ interface: name, subnet }: NamedNetwork): Promise<void> {
  if (!isThere(name)) await runProgram("ip", ["link", "add", "name", name, "type", "bridge"])
  else if ((await kindOf(name)) !== "bridge")
    throw new OvmError("OVM_HOST_FAILED", `the interface ${name} of this host is no bridge, and not ours`)
  setting(`net/ipv6/conf/${name}/disable_ipv6`, "1")
  await runProgram("ip", ["addr", "replace", `${gatewayOf(subnet)}/${subnet.bits}`, "dev", name])
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
  const routes = JSON.parse(
    (await runProgram("ip", ["-j", "-4", "route", "show", "table", "all"])) || "[]",
  ) as readonly { readonly dst?: string }[]
  return routes.flatMap(({ dst = "default" }) => ipv4Network(dst) ?? []).filter(({ bits }) => bits > 0)
}

async function kindOf(name: string): Promise<string | undefined> {
  const [link] = JSON.parse(await runProgram("ip", ["-j", "-d", "link", "show", "dev", name])) as Link[]
  return link?.linkinfo?.info_kind
}

/** Of the kernel, in /proc/sys. One that it does not have, as without IPv6, needs no setting. */
function setting(name: string, value: string): void {
  const path = `/proc/sys/${name}`
  try {
    if (readFileSync(path, "utf8").trim() !== value) writeFileSync(path, value)
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return
    throw new OvmError("OVM_HOST_FAILED", `${path} could not be set to ${value}`, { cause })
  }
}
