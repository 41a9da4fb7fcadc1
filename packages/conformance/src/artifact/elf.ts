/** Where a program of Linux is loaded to, as it is in its file. */
const AT = 0x40_0000
const HEADERS = 64 + 56

/** An ELF file for x86-64 of this code in hexadecimal, and data behind it. */
export function elfOf(hex: readonly string[], data: Uint8Array = new Uint8Array()): Buffer {
  const code = Buffer.from(hex.join("").replaceAll(" ", ""), "hex")
  const size = HEADERS + code.length + data.length
  const head = Buffer.alloc(HEADERS)
  head.write("\x7fELF\x02\x01\x01", 0, "latin1")
  head.writeUInt16LE(2, 16)
  head.writeUInt16LE(62, 18)
  head.writeUInt32LE(1, 20)
  head.writeBigUInt64LE(BigInt(AT + HEADERS), 24)
  head.writeBigUInt64LE(64n, 32)
  head.writeUInt16LE(64, 52)
  head.writeUInt16LE(56, 54)
  head.writeUInt16LE(1, 56)
  // One part, to be read and run.
  head.writeUInt32LE(1, 64)
  head.writeUInt32LE(5, 68)
  for (const at of [80, 88]) head.writeBigUInt64LE(BigInt(AT), at)
  for (const at of [96, 104]) head.writeBigUInt64LE(BigInt(size), at)
  head.writeBigUInt64LE(4096n, 112)
  return Buffer.concat([head, code, data])
}
