// What of an ELF file a VMM needs to start it as a kernel (System V ABI; Xen: PVH, "x86/HVM direct boot ABI").

/** The file: its first bytes, its size, and any others of it. */
export interface ElfFile {
  readonly head: Buffer
  readonly size: number
  /** Up to `length` bytes from `at` on. */
  read(at: number, length: number): Promise<Buffer>
}

const X86_64 = 62
const MACHINES: Readonly<Record<number, string>> = {
  3: "x86 of 32 bits",
  8: "MIPS",
  20: "PowerPC",
  21: "PowerPC of 64 bits",
  22: "S/390",
  40: "ARM",
  [X86_64]: "x86_64",
  183: "aarch64",
  243: "RISC-V",
  258: "LoongArch",
}
const TYPES: Readonly<Record<number, string>> = {
  1: "an object file",
  3: "a shared library or program",
  4: "a core dump",
}

const HEADER = 64
const ENTRY = 56
/** Of headers of segments; the largest kernels have less than ten. */
const MOST_ENTRIES = 128
/** Of one segment of notes, in bytes. */
const MOST_NOTES = 64 * 1024
const LOAD = 1
const NOTE = 4
const PHYS32_ENTRY = 18

interface Segment {
  readonly type: number
  readonly offset: number
  readonly address: number
  readonly fileSize: number
  readonly memorySize: number
}

/** Why the ELF file cannot be started as a kernel, to go on a sentence about it; undefined if it can (OVMS-SRC-022). */
export async function elfFault(file: ElfFile): Promise<string | undefined> {
  const { head } = file
  if (head.length < HEADER) return "is an ELF file that is cut off"
  const machine = head[5] === 2 ? head.readUInt16BE(18) : head.readUInt16LE(18)
  // e_ident: class 2 is 64 bit, data 1 is little endian.
  if (machine !== X86_64 || head[4] !== 2 || head[5] !== 1)
    return `is an ELF file of another kind: for ${MACHINES[machine] ?? `machine ${machine}`}, not an ELF64 for x86_64`
  const segments = await segmentsOf(file)
  if (typeof segments === "string") return segments
  const loaded = segments.filter(({ type }) => type === LOAD)
  if (loaded.some(({ offset, fileSize }) => offset + fileSize > file.size))
    return "is an ELF file that is cut off"
  const multiboot = multibootFlags(head)
  if (multiboot !== undefined)
    return multiboot & HAS_ADDRESSES
      ? undefined
      : "is a multiboot kernel of 64 bits, which QEMU does not load"
  const entry = await pvhEntry(file, segments)
  const what = TYPES[head.readUInt16LE(16)] ?? "an ELF file"
  if (entry === undefined) return `is ${what} without the entry for PVH (the Xen note PHYS32_ENTRY)`
  const inside = loaded.some(({ address, memorySize }) => address <= entry && entry < address + memorySize)
  return inside ? undefined : `has an entry for PVH at 0x${entry.toString(16)}, where it loads nothing`
}

async function segmentsOf({ head, size, read }: ElfFile): Promise<Segment[] | string> {
  const offset = Number(head.readBigUInt64LE(32))
  const [length, count] = [head.readUInt16LE(54), head.readUInt16LE(56)]
  if (count === 0 || length !== ENTRY) return "is an ELF file without segments to load"
  if (count > MOST_ENTRIES) return `is an ELF file with ${count} segments (at most ${MOST_ENTRIES})`
  if (offset + count * ENTRY > size) return "is an ELF file that is cut off"
  const table = await read(offset, count * ENTRY)
  if (table.length < count * ENTRY) return "is an ELF file that is cut off"
  return Array.from({ length: count }, (_, index) => {
    const number = (at: number) => Number(table.readBigUInt64LE(index * ENTRY + at))
    return {
      type: table.readUInt32LE(index * ENTRY),
      offset: number(8),
      address: number(24),
      fileSize: number(32),
      memorySize: number(40),
    }
  })
}

/** The physical address at which a kernel wants to be entered, from its notes. */
async function pvhEntry({ size, read }: ElfFile, segments: readonly Segment[]): Promise<number | undefined> {
  for (const { type, offset, fileSize } of segments) {
    if (type !== NOTE || offset + fileSize > size) continue
    const notes = await read(offset, Math.min(fileSize, MOST_NOTES))
    for (let at = 0; at + 12 <= notes.length; ) {
      const [name, content] = [notes.readUInt32LE(at), notes.readUInt32LE(at + 4)]
      const from = at + 12 + aligned(name)
      const isXen = name === 4 && notes.toString("latin1", at + 12, at + 16) === "Xen\0"
      if (isXen && notes.readUInt32LE(at + 8) === PHYS32_ENTRY && content >= 4 && from + 4 <= notes.length)
        return notes.readUInt32LE(from)
      at = from + aligned(content)
    }
  }
  return undefined
}

function aligned(size: number): number {
  return Math.ceil(size / 4) * 4
}

const MULTIBOOT = 0x1badb002
const MULTIBOOT_WITHIN = 8192 - 48
/** The header itself says what goes where, so that nobody reads the ELF file's. */
const HAS_ADDRESSES = 0x10000

/** Of a multiboot header where QEMU looks for one, which it does before it looks for anything else. */
function multibootFlags(head: Buffer): number | undefined {
  for (let at = 0; at < MULTIBOOT_WITHIN && at + 12 <= head.length; at += 4) {
    if (head.readUInt32LE(at) !== MULTIBOOT) continue
    const flags = head.readUInt32LE(at + 4)
    if ((MULTIBOOT + flags + head.readUInt32LE(at + 8)) % 2 ** 32 === 0) return flags
  }
  return undefined
}
