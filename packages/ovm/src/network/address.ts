import { BlockList, isIPv6 } from "node:net"

const MULTICAST = new BlockList()
MULTICAST.addSubnet("224.0.0.0", 4, "ipv4")
const RESERVED = new BlockList()
RESERVED.addSubnet("240.0.0.0", 4, "ipv4")
const MULTICAST6 = new BlockList()
MULTICAST6.addSubnet("ff00::", 8, "ipv6")
/** Apart from those of IPv4, which would match these as well. */
const MAPPED = new BlockList()
MAPPED.addSubnet("::ffff:0:0", 96, "ipv6")

/** Why no port can be open on `address`, which is an IP address; undefined if one can as far as that goes. */
export function addressFault(address: string): string | undefined {
  if (!isIPv6(address)) {
    if (MULTICAST.check(address, "ipv4")) return "is a multicast address"
    return RESERVED.check(address, "ipv4") ? "is the broadcast address or a reserved one" : undefined
  }
  if (MULTICAST6.check(address, "ipv6")) return "is a multicast address"
  return MAPPED.check(address, "ipv6")
    ? "is an IPv4 address written as one of IPv6: say it as IPv4"
    : undefined
}

/** Any of the host's, of one family. */
export function isEvery(address: string): boolean {
  return sameAddress(address, isIPv6(address) ? "::" : "0.0.0.0")
}

/** However they are written. */
export function sameAddress(one: string, other: string): boolean {
  if (!isIPv6(one) || !isIPv6(other)) return one === other
  return new URL(`http://[${one}]`).hostname === new URL(`http://[${other}]`).hostname
}
