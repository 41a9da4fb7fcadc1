import { nameservers } from "../resolvers.ts"
import { leadsOut } from "../way-out.ts"
import type { NamedNetwork } from "./named-network.ts"
import { gatewayOf, netmaskOf, subnetText } from "./subnet.ts"
import { gateway6Of, type Subnet6 } from "./subnet6.ts"

/** Where the names of machines are, besides by themselves: a domain that is nobody's (RFC 9476, ICANN's .internal). */
const DOMAIN = "ovm.internal"

const LEASE = "1h"
/** For how long a router is one after each word of it, in seconds: three times what is between two words. */
const ROUTER_S = 1800

/** It reads no file of the host but its own user database, and opens nothing but what is on the bridge. */
export function serverArguments(
  { interface: name, subnet, subnet6, internal }: NamedNetwork,
  { leases, names }: { readonly leases: string; readonly names: string },
  pidFile: string,
): readonly string[] {
  const [network = ""] = subnetText(subnet).split("/")
  const upstream = internal ? [] : nameservers().map((address) => `--server=${address}`)
  return [
    ...["--conf-file=/dev/null", "--no-hosts", "--no-resolv", pidFile, "--user=nobody"],
    ...[`--interface=${name}`, "--except-interface=lo", "--bind-interfaces"],
    // Nobody has an address who was not given one, or a name that it says itself.
    ...[`--dhcp-range=${network},static,${netmaskOf(subnet)},${LEASE}`, "--dhcp-ignore-names"],
    ...["--dhcp-authoritative", "--leasefile-ro", `--dhcp-hostsfile=${leases}`],
    ...(internal ? ["--dhcp-option=option:router"] : [`--dhcp-option=option:router,${gatewayOf(subnet)}`]),
    ...[`--addn-hosts=${names}`, `--domain=${DOMAIN}`, `--local=/${DOMAIN}/`],
    ...["--expand-hosts", "--domain-needed", "--bogus-priv", ...upstream],
    ...(subnet6 ? arguments6(name, subnet6, !internal && leadsOut(6)) : []),
  ]
}

/**
 * A machine makes its address of its MAC address by itself, or is given the same one by DHCPv6: whichever its guest
 * does. A way out is said only where there is one.
 */
function arguments6(name: string, subnet6: Subnet6, out: boolean): readonly string[] {
  const [network = ""] = subnet6.split("/")
  return [
    "--enable-ra",
    `--dhcp-range=${network},static,slaac,64,${LEASE}`,
    `--ra-param=${name},0,${out ? ROUTER_S : 0}`,
    `--dhcp-option=option6:dns-server,[${gateway6Of(subnet6)}]`,
  ]
}
