import { hex } from "../registry/content.ts"

/**
 * What a PC BIOS loads and enters (counter.s): if it was entered as of drive 80h, it counts a byte of the disk's
 * second sector up, and writes `BOOT `, the count as a digit, and a line feed to the first serial port; `FIXED` where
 * the disk cannot be written to.
 */
const COUNTER = hex(
  "fa31c08ed88ec08ed0bc007c80fa80753efbb80102b90200ba8000bb0080cd13722dfe060080b80103b90200ba8000bb0080cd13be5b7c720ba000800430a2587cbe537cbaf803ac84c07403eeebf8faf4ebfc424f4f5420300a0046495845440a00",
)

/** A disk of 1 MiB that boots so. */
export function counterDisk(): Buffer {
  const bytes = Buffer.alloc(1 << 20)
  COUNTER.copy(bytes)
  bytes.writeUInt16LE(0xaa55, 510)
  return bytes
}
