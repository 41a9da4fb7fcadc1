import { OvmError } from "../errors.ts"
import { isWithin } from "../host/networks.ts"
import { routedSubnets, routedSubnets6 } from "../network/named/bridge.ts"
import { freeSubnet, parseSubnet, type Subnet, subnetsOverlap, subnetText } from "../network/named/subnet.ts"
import { hasIpv6, newSubnet6, type Subnet6, subnet6Fault } from "../network/named/subnet6.ts"
import type { NetworkRequest } from "./interfaces.ts"
import type { NetworkRecord } from "./network-records.ts"

/** The one that is wanted, or one that is free. Throws OVM_REQUEST_INVALID, OVM_SUBNET_IN_USE (OVMS-NET-002). */
export async function subnetFor(
  wanted: string | undefined,
  known: readonly NetworkRecord[],
): Promise<Subnet> {
  const routed = await routedSubnets()
  const taken = [...known.map(({ subnet }) => subnet), ...routed]
  if (wanted === undefined) {
    const free = freeSubnet(taken)
    if (free) return free
    throw new OvmError("OVM_SUBNET_IN_USE", "there is no subnet left that is free on this host")
  }
  const subnet = parseSubnet(wanted)
  if (typeof subnet === "string") throw wrong("subnet", "OVMS-NET-002", `${wanted} ${subnet}`)
  const other = known.find((one) => subnetsOverlap(one.subnet, subnet))
  if (other) throw subnetInUse(wanted, `the network ${other.name} has ${subnetText(other.subnet)}`)
  const route = routed.find((one) => subnetsOverlap(one, subnet))
  if (route) throw subnetInUse(wanted, `this host has a route to ${subnetText(route)}`)
  return subnet
}

/**
 * The same of IPv6; undefined for a network that is to have none, or cannot have one here. Throws OVM_REQUEST_INVALID,
 * OVM_SUBNET_IN_USE, and OVM_UNSUPPORTED where one is asked for (OVMS-NET-033, OVMS-NET-034).
 */
export async function subnet6For(
  { ipv6 = true, ipv6_subnet: wanted }: Pick<NetworkRequest, "ipv6" | "ipv6_subnet">,
  known: readonly NetworkRecord[],
): Promise<Subnet6 | undefined> {
  if (wanted === undefined) return ipv6 && hasIpv6() ? newSubnet6() : undefined
  const fault = subnet6Fault(wanted)
  if (fault !== undefined) throw wrong("ipv6_subnet", "OVMS-NET-034", `${wanted} ${fault}`)
  if (!ipv6) throw wrong("ipv6_subnet", "OVMS-NET-034", "the network is to have no IPv6")
  if (!hasIpv6())
    throw new OvmError("OVM_UNSUPPORTED", "ipv6_subnet: this host's kernel has no IPv6", {
      detail: [{ pointer: "ipv6_subnet", reason: "the host has no IPv6" }],
    })
  const other = known.find(({ subnet6 }) => subnet6 === wanted)
  if (other) throw subnetInUse(wanted, `the network ${other.name} has ${wanted}`)
  const route = (await routedSubnets6()).find((one) => isWithin(wanted, one) || isWithin(one, wanted))
  if (route !== undefined) throw subnetInUse(wanted, `this host has a route to ${route}`)
  return wanted
}

function wrong(member: string, requirement: string, message: string): OvmError {
  return new OvmError("OVM_REQUEST_INVALID", `${member}: ${message}`, {
    detail: [{ pointer: `/${member}`, requirement, message }],
  })
}

function subnetInUse(subnet: string, why: string): OvmError {
  return new OvmError("OVM_SUBNET_IN_USE", `${subnet} is in use: ${why}`, {
    hint: "leave it out for one that is free",
  })
}
