import { existsSync } from "node:fs"
import { isIPv6 } from "node:net"
import { isWithin } from "../../host/networks.ts"

/** An IPv6 network of 64 bits, as ADDRESS/64 the way RFC 5952 writes it. */
export type Subnet6 = string

const BITS = 64
/** What whoever wants one may make (RFC 4193). */
const LOCAL = "fd00::/8"

/** The router, as guests see it: whatever the bridge's MAC address is, which changes as machines come and go. */
export const ROUTER = "fe80::1"

/** Whether this host's kernel has IPv6 at all. */
export function hasIpv6(): boolean {
  return existsSync("/proc/sys/net/ipv6")
}

/** One that nobody else has, by chance (RFC 4193). */
export function newSubnet6(): Subnet6 {
  const [a = 0, b = 0, c = 0, d = 0, e = 0] = crypto.getRandomValues(new Uint8Array(5))
  return `${canonical(hexadecimal([0xfd, a, b, c, d, e, 0, 0, ...new Array(8).fill(0)]))}/${BITS}`
}

/** The network that `text` is, or a sentence's end that says why it is none that machines can have. */
export function subnet6Fault(text: string): string | undefined {
  const [address = "", bits, more] = text.split("/")
  if (!isIPv6(address) || address.includes("%") || bits !== String(BITS) || more !== undefined)
    return "is no IPv6 network of 64 bits, such as fd12:3456:789a:1::/64"
  if (!isWithin(text, LOCAL)) return `is not within ${LOCAL} (RFC 4193)`
  const first = `${inside(text, new Array(8).fill(0))}/${BITS}`
  return first === text ? undefined : `is written as ${first}`
}

export function gateway6Of(subnet: Subnet6): string {
  return inside(subnet, [0, 0, 0, 0, 0, 0, 0, 1])
}

/** That of whoever makes it of the MAC address by itself (RFC 4862), and of whoever asks for one. */
export function machine6Of(subnet: Subnet6, mac: string): string {
  return inside(subnet, eui64(mac))
}

/** The one that an interface has before it knows of any network. */
export function linkLocalOf(mac: string): string {
  return inside("fe80::/64", eui64(mac))
}

/** As nft(8) writes the bytes of a payload. */
export function rawOf(address: string): string {
  return `0x${groupsOf(address).join("")}`
}

/** However it was written. */
export function canonical(address: string): string {
  return new URL(`http://[${address}]`).hostname.slice(1, -1)
}

/** RFC 4291, appendix A. */
function eui64(mac: string): readonly number[] {
  const [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0] = mac.split(":").map((byte) => Number.parseInt(byte, 16))
  return [a ^ 2, b, c, 0xff, 0xfe, d, e, f]
}

function inside(subnet: Subnet6, own: readonly number[]): string {
  const network = groupsOf(subnet.split("/")[0] ?? "").slice(0, 4)
  return canonical([...network, hexadecimal(own)].join(":"))
}

/** Eight groups of four digits. */
function groupsOf(address: string): readonly string[] {
  const [left = "", right] = canonical(address).split("::")
  const groups = (text = "") => text.split(":").filter((group) => group !== "")
  const [before, after] = [groups(left), groups(right)]
  const zeros = new Array(8 - before.length - after.length).fill("0")
  return [...before, ...zeros, ...after].map((group) => group.padStart(4, "0"))
}

/** Two bytes a group. */
function hexadecimal(bytes: readonly number[]): string {
  const digits = bytes.map((byte) => byte.toString(16).padStart(2, "0")).join("")
  return digits.replace(/(....)(?=.)/g, "$1:")
}
