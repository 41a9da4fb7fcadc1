import { lookup } from "node:dns/promises"
import { isIP } from "node:net"
import { isWithin, NOT_PUBLIC, single } from "../../host/networks.ts"

/**
 * True if only this host or its network reaches `address`, also as an IPv4 address within IPv6: a public registry that
 * sends us there would make us a way into that network.
 */
export function isPrivateAddress(address: string): boolean {
  const family = isIP(address)
  if (family === 0) return false
  const mapped = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/i.exec(
    family === 6 ? new URL(`http://[${address}]/`).hostname.slice(1, -1) : "",
  )
  const [high = 0, low = 0] = mapped?.slice(1).map((part) => Number.parseInt(part, 16)) ?? []
  const network = single(mapped ? [high >> 8, high & 255, low >> 8, low & 255].join(".") : address)
  return NOT_PUBLIC.some((outer) => isWithin(network, outer))
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
