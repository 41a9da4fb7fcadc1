// Frames of Ethernet as a guest sends them that says what it likes.

const UDP = 17
const ICMPV6 = 58

interface Link {
  readonly from: { readonly mac: string }
  readonly to: { readonly mac: string }
}

interface Ends extends Link {
  readonly from: Link["from"] & { readonly address: string }
  readonly to: Link["to"] & { readonly address: string }
}

const macOf = (text: string) => Buffer.from(text.replaceAll(":", ""), "hex")

/** The bytes of an address of IPv4, or of IPv6. */
export function addressBytes(text: string): Buffer {
  if (!text.includes(":")) return Buffer.from(text.split(".").map(Number))
  const [head = [], tail = []] = text.split("::").map((part) => (part === "" ? [] : part.split(":")))
  const between = Array.from({ length: 8 - head.length - tail.length }, () => "0")
  const words = text.includes("::") ? [...head, ...between, ...tail] : head
  return Buffer.from(words.map((word) => word.padStart(4, "0")).join(""), "hex")
}

/** The address of a link that a guest makes of its MAC address (RFC 4291, appendix A). */
export function linkLocal(mac: string): string {
  const [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0] = macOf(mac)
  const words = [((a ^ 2) << 8) | b, (c << 8) | 0xff, 0xfe00 | d, (e << 8) | f]
  return `fe80::${words.map((word) => word.toString(16)).join(":")}`
}

function sum(...all: readonly Uint8Array[]): number {
  const bytes = Buffer.concat([...all, Buffer.alloc(1)])
  let total = 0
  for (let at = 0; at + 1 < bytes.length; at += 2) total += bytes.readUInt16BE(at)
  while (total > 0xffff) total = (total & 0xffff) + (total >>> 16)
  return ~total & 0xffff || 0xffff
}

/** With its checksum, which is `at` bytes from the beginning. */
function summed({ from, to }: Ends, next: number, body: Buffer, at: number): Buffer {
  const pseudo = Buffer.alloc(8)
  pseudo.writeUInt32BE(body.length, 0)
  pseudo.writeUInt32BE(next, 4)
  body.writeUInt16BE(sum(addressBytes(from.address), addressBytes(to.address), pseudo, body), at)
  return body
}

/** A frame of that type (EtherType). */
export function ethernet({ from, to }: Link, type: number, packet: Buffer): Buffer {
  return Buffer.concat([macOf(to.mac), macOf(from.mac), Buffer.from([type >> 8, type & 255]), packet])
}

function byIpv6(ends: Ends, next: number, body: Buffer): Buffer {
  const head = Buffer.alloc(8)
  head.writeUInt8(0x60, 0)
  head.writeUInt16BE(body.length, 4)
  head.writeUInt8(next, 6)
  head.writeUInt8(255, 7)
  const addresses = [addressBytes(ends.from.address), addressBytes(ends.to.address)]
  return ethernet(ends, 0x86dd, Buffer.concat([head, ...addresses, body]))
}

/** A message of ICMPv6: its type and code, and what is behind its checksum. */
export function icmp(ends: Ends, type: number, ...rest: readonly Uint8Array[]): Buffer {
  const body = Buffer.concat([Buffer.from([type, 0, 0, 0]), ...rest])
  return byIpv6(ends, ICMPV6, summed(ends, ICMPV6, body, 2))
}

/** A datagram, by IPv4 or IPv6 as its addresses are. */
export function datagram(ends: Ends, from: number, to: number): Buffer {
  const body = Buffer.alloc(16, 1)
  body.writeUInt16BE(from, 0)
  body.writeUInt16BE(to, 2)
  body.writeUInt16BE(body.length, 4)
  body.writeUInt16BE(0, 6)
  if (ends.from.address.includes(":")) return byIpv6(ends, UDP, summed(ends, UDP, body, 6))
  const head = Buffer.from([0x45, 0, 0, 20 + body.length, 0, 0, 0, 0, 64, UDP, 0, 0])
  const packet = Buffer.concat([head, addressBytes(ends.from.address), addressBytes(ends.to.address), body])
  packet.writeUInt16BE(sum(packet.subarray(0, 20)), 10)
  return ethernet(ends, 0x0800, packet)
}
