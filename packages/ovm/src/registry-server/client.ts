import { isIPv6 } from "node:net"
import type { Client } from "./interfaces.ts"

/**
 * Which client asks, for the limits on what one client may take: a user by name, else an address. All addresses of this
 * host are one client, and so are all of an IPv6 network of 64 bits, since each of its hosts has 2⁶⁴ of them.
 */
export function clientOf(user: string | undefined, address: string, near: boolean): Client {
  if (user !== undefined) return { id: `user ${user}`, named: true }
  if (near) return { id: "this host", named: false }
  return { id: isIPv6(address) ? networkOf(address) : address, named: false }
}

/** The first 64 bits. */
function networkOf(address: string): string {
  const [head = "", tail] = address.replace(/%.*/, "").split("::")
  const groups = head.split(":").filter(Boolean)
  const zeros = tail === undefined ? 0 : 8 - groups.length - tail.split(":").filter(Boolean).length
  const all = [...groups, ...Array<string>(Math.max(zeros, 0)).fill("0"), ...(tail ?? "").split(":")]
  return `${all.slice(0, 4).join(":")}::/64`
}
