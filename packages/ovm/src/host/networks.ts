import { BlockList, isIPv6 } from "node:net"

/**
 * All that is not the public Internet, as ADDRESS/PREFIX (RFC 1918, 3927, 4193, 4291, 6598, 6890), and where clouds
 * tell their machines who they are. Amazon's `fd00:ec2::254` and Oracle's 192.0.0.192 are within these.
 */
export const NOT_PUBLIC: readonly string[] = [
  ...["0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"],
  ...["192.0.0.0/24", "192.168.0.0/16", "198.18.0.0/15", "224.0.0.0/3"],
  // Azure's, which looks like a public one.
  "168.63.129.16/32",
  // The last three hold IPv4 addresses, or did.
  ...["fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8", "::/96", "2001::/32", "2002::/16"],
]

/** Whether all of the network `inner` is in `outer`; both as ADDRESS/PREFIX. */
export function isWithin(inner: string, outer: string): boolean {
  const [address = "", bits] = inner.split("/")
  const [network = "", prefix] = outer.split("/")
  if (isIPv6(address) !== isIPv6(network) || Number(bits) < Number(prefix)) return false
  const family = isIPv6(address) ? "ipv6" : "ipv4"
  const list = new BlockList()
  list.addSubnet(network, Number(prefix), family)
  return list.check(address, family)
}

/** The network of one address alone. */
export function single(address: string): string {
  return `${address}/${isIPv6(address) ? 128 : 32}`
}
