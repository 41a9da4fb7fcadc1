/** Where it is loaded, and entered. */
export const ENTRY = 0x100000
const [HEADER, SEGMENT] = [64, 56]
const [LOAD, NOTE] = [1, 4]

/**
 * An ELF file of one segment that is entered at its first byte in 64-bit mode, as Linux is; with `pvh` by a note in
 * 32-bit mode as well (Xen: PVH, "x86/HVM direct boot ABI").
 */
export function elfOf(code: Uint8Array, { pvh = false } = {}): Uint8Array {
  const note = pvh ? pvhNote() : Buffer.alloc(0)
  const segments = pvh ? 2 : 1
  const head = Buffer.alloc(HEADER + segments * SEGMENT)
  head.write("\x7fELF", "latin1")
  head.set([2, 1, 1], 4) // 64 bits, little endian, version 1
  head.writeUInt16LE(2, 16) // a program
  head.writeUInt16LE(62, 18) // for x86_64
  head.writeUInt32LE(1, 20)
  head.writeBigUInt64LE(BigInt(ENTRY), 24)
  head.writeBigUInt64LE(BigInt(HEADER), 32) // where the segments are
  head.writeUInt16LE(HEADER, 52)
  head.writeUInt16LE(SEGMENT, 54)
  head.writeUInt16LE(segments, 56)
  const from = head.length + note.length
  describe(head.subarray(HEADER), { type: LOAD, from, address: ENTRY, size: code.length })
  if (pvh)
    describe(head.subarray(HEADER + SEGMENT), {
      type: NOTE,
      from: head.length,
      address: 0,
      size: note.length,
    })
  return Buffer.concat([head, note, code])
}

interface Segment {
  readonly type: number
  readonly from: number
  readonly address: number
  readonly size: number
}

function describe(entry: Buffer, { type, from, address, size }: Segment): void {
  entry.writeUInt32LE(type)
  entry.writeUInt32LE(type === LOAD ? 7 : 4, 4) // all rights, or to read
  entry.writeBigUInt64LE(BigInt(from), 8)
  for (const at of [16, 24]) entry.writeBigUInt64LE(BigInt(address), at)
  for (const at of [32, 40]) entry.writeBigUInt64LE(BigInt(size), at)
  if (type === NOTE) entry.writeBigUInt64LE(4n, 48)
}

/** PHYS32_ENTRY; QEMU reads its address as one of 64 bits. */
function pvhNote(): Buffer {
  const note = Buffer.alloc(24)
  for (const [index, value] of [4, 8, 18].entries()) note.writeUInt32LE(value, index * 4)
  note.write("Xen\0", 12, "latin1")
  note.writeBigUInt64LE(BigInt(ENTRY), 16)
  return note
}
