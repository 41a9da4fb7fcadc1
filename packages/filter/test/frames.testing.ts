import { isIPv6 } from "node:net"

// Ethernet frames as guests make them, and as they should not.

export const GUEST = "02:00:00:00:00:01"
export const OTHER = "02:00:00:00:00:02"

export const hex = (text: string) => Buffer.from(text.replaceAll(/[^0-9a-f]/g, ""), "hex")

export function ethernet(type: number, payload: Uint8Array, from = GUEST): Buffer {
  return Buffer.concat([hex(OTHER), hex(from), word(type), payload])
}

function word(value: number): Buffer {
  const bytes = Buffer.alloc(2)
  bytes.writeUInt16BE(value)
  return bytes
}

export interface Ip {
  readonly to: string
  readonly from?: string
  readonly protocol: number
  readonly payload: Uint8Array
  /** Of IPv4: flags and offset of a fragment. */
  readonly piece?: number
  /** Of IPv4: bytes of options, a multiple of four. */
  readonly options?: number
  readonly mac?: string
}

/** By IPv4 or IPv6, as `to` is. */
export function ip({ to, from, protocol, payload, piece = 0, options = 0, mac = GUEST }: Ip): Buffer {
  if (isIPv6(to)) {
    const header = Buffer.alloc(8)
    header[0] = 0x60
    header.writeUInt16BE(payload.length, 4)
    header[6] = protocol
    return ethernet(0x86dd, Buffer.concat([header, v6(from ?? "2001:db8::2"), v6(to), payload]), mac)
  }
  const header = Buffer.alloc(12)
  header[0] = 0x45 + options / 4
  header.writeUInt16BE(20 + options + payload.length, 2)
  header.writeUInt16BE(piece, 6)
  header[9] = protocol
  const parts = [header, v4(from ?? "192.0.2.2"), v4(to), Buffer.alloc(options, 1), payload]
  return ethernet(0x0800, Buffer.concat(parts), mac)
}

const v4 = (text: string) => Buffer.from(text.split(".").map(Number))

function v6(text: string): Buffer {
  const address = new URL(`http://[${text}]/`).hostname.slice(1, -1)
  const [head = "", tail] = address.split("::")
  const groups = (part: string) =>
    part === "" ? [] : part.split(":").map((group) => Number.parseInt(group, 16))
  const [front, back] = [groups(head), groups(tail ?? "")]
  const all = [...front, ...Array(8 - front.length - back.length).fill(0), ...back]
  return Buffer.concat(all.map(word))
}

export const FIN = 1
export const SYN = 2
export const RST = 4
export const ACK = 16

export function tcp(
  to: string,
  port: number,
  flags = SYN,
  { source = 40_000, ...more }: Partial<Ip> & { readonly source?: number } = {},
): Buffer {
  const payload = Buffer.alloc(20)
  payload.writeUInt16BE(source, 0)
  payload.writeUInt16BE(port, 2)
  payload[12] = 0x50
  payload[13] = flags
  return ip({ to, protocol: 6, payload, ...more })
}

export function udp(to: string, port: number, source = 40_000, more: Partial<Ip> = {}): Buffer {
  const payload = Buffer.alloc(12)
  payload.writeUInt16BE(source, 0)
  payload.writeUInt16BE(port, 2)
  payload.writeUInt16BE(12, 4)
  return ip({ to, protocol: 17, payload, ...more })
}

/** Asks whether anybody has `address` already, as whoever is about to use it does (RFC 4862, section 5.4.2). */
export function settling(address: string): Buffer {
  const payload = Buffer.concat([Buffer.from([135, 0, 0, 0, 0, 0, 0, 0]), v6(address)])
  return ip({ to: "ff02::1:ff00:1", from: "::", protocol: 58, payload })
}

/** An echo request unless another type is given. */
export function icmp(to: string, type = isIPv6(to) ? 128 : 8): Buffer {
  return ip({ to, protocol: isIPv6(to) ? 58 : 1, payload: Buffer.from([type, 0, 0, 0, 0, 1, 0, 1]) })
}
