import { lookup } from "node:dns/promises"
import { BlockList, isIP } from "node:net"

// Addresses that only this host or its network reaches (RFC 1918, 3927, 4193, 4291, 6598, 6890). A public registry that
// sends us there would make us a way into that network.
const INSIDE = new BlockList()
for (const [net, prefix] of [
  ["0.0.0.0", 8],
  ["10.0.0.0", 8],
  ["100.64.0.0", 10],
  ["127.0.0.0", 8],
  ["169.254.0.0", 16],
  ["172.16.0.0", 12],
  ["192.168.0.0", 16],
] as const)
  INSIDE.addSubnet(net, prefix, "ipv4")
for (const [net, prefix] of [
  ["::", 128],
  ["::1", 128],
  ["fc00::", 7],
  ["fe80::", 10],
] as const)
  INSIDE.addSubnet(net, prefix, "ipv6")

/** True if `address` is a private, link-local or loopback one, also as an IPv4 address within IPv6. */
export function isPrivateAddress(address: string): boolean {
  const family = isIP(address)
  if (family === 4) return INSIDE.check(address, "ipv4")
  if (family !== 6) return false
  const mapped = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/i.exec(
    new URL(`http://[${address}]/`).hostname.slice(1, -1),
  )
  if (!mapped) return INSIDE.check(address, "ipv6")
  const [high = 0, low = 0] = mapped.slice(1).map((part) => Number.parseInt(part, 16))
  return INSIDE.check([high >> 8, high & 255, low >> 8, low & 255].join("."), "ipv4")
}

/**
 * True if a host name or address, as in a URL, stands for such an address. A name that cannot be resolved does not:
 * then there is nothing to connect to, or a proxy that resolves names by itself.
 */
export async function isPrivateHost(hostname: string): Promise<boolean> {
  const name = hostname
    .replace(/^\[|\]$/g, "")
    .replace(/\.$/, "")
    .toLowerCase()
  if (isIP(name)) return isPrivateAddress(name)
  if (name === "localhost" || name.endsWith(".localhost")) return true
  try {
    return (await lookup(name, { all: true })).some(({ address }) => isPrivateAddress(address))
  } catch {
    return false
  }
}

/** True for localhost, 127.0.0.0/8 and [::1], with or without a port. */
export function isLoopback(host: string): boolean {
  return /^(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d+)?$/.test(host)
}
