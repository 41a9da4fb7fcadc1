import { expect } from "bun:test"
import { requestText } from "../../ovm/src/network/filter.ts"
import type { PortForward } from "../../ovm/src/network/forward.ts"
import { outboundRules } from "../../ovm/src/network/rules.ts"
import { type Between, receive, send } from "./filter.testing.ts"
import { ACK, ethernet, GUEST, hex, OTHER, SYN, tcp } from "./frames.testing.ts"

export const BEGUN = [
  { protocol: "tcp", address: "127.0.0.1", host: 8080, guest: 80 },
  { protocol: "udp", address: "0.0.0.0", host: 5353, guest: 53 },
  { protocol: "tcp", address: "0.0.0.0", host: 8022, guest: 22 },
  { protocol: "tcp", address: "127.0.0.1", host: 8023, guest: 22 },
] as const
export const OPEN =
  "open tcp 127.0.0.1 8080 80\nopen udp 0.0.0.0 5353 53\nopen tcp 0.0.0.0 8022 22\nopen tcp 127.0.0.1 8023 22\n"
export const WEB = "tcp 127.0.0.1 8081 81"
export const CLIENT = "192.168.0.9"
export const PUBLIC = "198.51.100.7"
export const SELF = "192.0.2.2"
/** Goes through between the guest and the first outside. */
export const MARK = ethernet(0x0806, Buffer.alloc(28, 7))

/** What one is asked for that begins with these ports. */
export const requested = (forwards: readonly PortForward[] = BEGUN) =>
  `${requestText({ mac: GUEST, forwards, rules: outboundRules() })}\0`

type Flags = { readonly flags?: number; readonly from?: string; readonly source?: number }

/** What a client of that port of the guest's sends. */
export const into = (port: number, { flags = SYN, from = CLIENT, source = 50_000 }: Flags = {}) =>
  tcp(SELF, port, flags, { from, source, mac: OTHER })

/** What the guest's service on that port says to it. */
export const back = (port: number, { flags = ACK, from = CLIENT, source = 50_000 }: Flags = {}) =>
  tcp(from, source, flags, { from: SELF, source: port })

/** As it comes to the guest: to its MAC address. */
export function readdressed(frame: Buffer): Buffer {
  return Buffer.concat([hex(GUEST), frame.subarray(6)])
}

export const flagsOf = (frame: Buffer) => frame[14 + 20 + 13]
export const portsOf = (frame: Buffer) => [frame.readUInt16BE(34), frame.readUInt16BE(36)]

/** Everything that has been sent to the guest so far was nothing but `frames`. */
export function guestGot(filter: Between, ...frames: readonly Buffer[]): void {
  send(filter.outside, MARK)
  for (const frame of [...frames, MARK]) expect(receive(filter.guest)).toEqual(frame)
}

export function firstGot(filter: Between, ...frames: readonly Buffer[]): void {
  send(filter.guest, MARK)
  for (const frame of [...frames, MARK]) expect(receive(filter.outside)).toEqual(frame)
}

/** After that it has seen all that an outside has sent before. */
export function seen(filter: Between, outside: number, port: number): void {
  const last = into(port, { source: 1 })
  send(outside, last)
  expect(receive(filter.guest)).toEqual(readdressed(last))
}
