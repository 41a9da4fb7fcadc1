import { randomBytes } from "node:crypto"

/** Of the first byte: an address that no vendor gave out, of one station. */
const LOCAL = 0x02
const GROUP = 0x01

/** A new MAC address, locally administered and random, in lower case with colons. */
export function randomMac(): string {
  const bytes = randomBytes(6)
  bytes[0] = ((bytes[0] ?? 0) | LOCAL) & ~GROUP
  return bytes.toString("hex").replace(/(..)(?=.)/g, "$1:")
}
