import { isIPv4 } from "node:net"

/** An IPv4 network; `base` is its first address as a number. */
export interface Subnet {
  readonly base: number
  readonly bits: number
}

/** From /16 to /28: what has room for machines and leaves some of the private addresses to others. */
const FEWEST_BITS = 16
const MOST_BITS = 28

/** What is private (RFC 1918). */
const PRIVATE = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"].map(known)

/** Where free ones are looked for: of 10/8, what others are seldom set up to use. */
const POOL = known("10.208.0.0/12")
const USUAL_BITS = 24

/** The network that ADDRESS/BITS is, or a sentence's end that says why it is none that machines can have. */
export function parseSubnet(text: string): Subnet | string {
  const found = ipv4Network(text)
  if (!found) return "is no IPv4 network, such as 10.210.3.0/24"
  if (found.bits < FEWEST_BITS || found.bits > MOST_BITS)
    return `has ${found.bits} bits, and a network of machines ${FEWEST_BITS} to ${MOST_BITS}`
  if (subnetText(found) !== text) return `begins with an address of its own: ${subnetText(found)}`
  return PRIVATE.some((one) => subnetsOverlap(one, found)) ? found : "is not private (RFC 1918)"
}

/** ADDRESS or ADDRESS/BITS, of whatever size; undefined for anything else, as for IPv6. */
export function ipv4Network(text: string): Subnet | undefined {
  const [address = "", prefix = "32", more] = text.split("/")
  if (!isIPv4(address) || !/^\d{1,2}$/.test(prefix) || Number(prefix) > 32 || more !== undefined)
    return undefined
  const bits = Number(prefix)
  return { base: first(numberOf(address), bits), bits }
}

/** The first usual one that overlaps none of `taken`; undefined if there is none. */
export function freeSubnet(taken: readonly Subnet[]): Subnet | undefined {
  const size = 2 ** (32 - USUAL_BITS)
  for (let base = POOL.base; base < POOL.base + 2 ** (32 - POOL.bits); base += size) {
    const one = { base, bits: USUAL_BITS }
    if (!taken.some((other) => subnetsOverlap(one, other))) return one
  }
  return undefined
}

export function subnetsOverlap(one: Subnet, other: Subnet): boolean {
  const bits = Math.min(one.bits, other.bits)
  return first(one.base, bits) === first(other.base, bits)
}

/** As ADDRESS/BITS. */
export function subnetText({ base, bits }: Subnet): string {
  return `${addressOf(base)}/${bits}`
}

/** The host's own address in it: the first that machines may have. */
export function gatewayOf({ base }: Subnet): string {
  return addressOf(base + 1)
}

export function netmaskOf({ bits }: Subnet): string {
  return addressOf(2 ** 32 - 2 ** (32 - bits))
}

/** An address of a machine that is not in `taken`, any of them; undefined if there is none left. */
export function freeAddress({ base, bits }: Subnet, taken: ReadonlySet<string>): string | undefined {
  // Without the network's, the host's and that of broadcasts.
  const room = 2 ** (32 - bits) - 3
  // What was somebody's a moment ago may be remembered by others: so not the lowest.
  const from = Math.floor(Math.random() * room)
  for (let at = 0; at < room; at++) {
    const address = addressOf(base + 2 + ((from + at) % room))
    if (!taken.has(address)) return address
  }
  return undefined
}

function known(text: string): Subnet {
  const [address = "", bits] = text.split("/")
  return { base: numberOf(address), bits: Number(bits) }
}

function first(address: number, bits: number): number {
  return address - (address % 2 ** (32 - bits))
}

function numberOf(address: string): number {
  return address.split(".").reduce((number, byte) => number * 256 + Number(byte), 0)
}

function addressOf(number: number): string {
  return [24, 16, 8, 0].map((shift) => Math.floor(number / 2 ** shift) % 256).join(".")
}
