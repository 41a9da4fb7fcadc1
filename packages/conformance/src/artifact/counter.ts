import { hex, utf8 } from "../registry/content.ts"

/** What is no UTF-8, in a line without an end. */
export const NO_END = Buffer.concat([hex("fffec32880"), utf8(" no end")])

/**
 * What a PC BIOS loads and enters (counter.s): if it was entered as of drive 80h, it counts a byte of the disk's
 * second sector up, and writes `BOOT `, the count as a digit, a line feed, and NO_END to the first serial port; `FIXED`
 * where the disk cannot be written to.
 */
const COUNTER = hex(
  "fa31c08ed88ec08ed0bc007c80fa80753efbb80102b90200ba8000bb0080cd13722dfe060080b80103b90200ba8000bb0080cd13be677c720ba000800430a2587cbe537cbaf803ac84c07403eeebf8faf4ebfc424f4f5420300afffec32880206e6f20656e640046495845440a00",
)

/** A disk of 1 MiB that boots so. */
export function counterDisk(): Buffer {
  const bytes = Buffer.alloc(1 << 20)
  COUNTER.copy(bytes)
  bytes.writeUInt16LE(0xaa55, 510)
  return bytes
}
