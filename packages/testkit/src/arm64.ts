/** Why no guest for arm64 runs here; empty if one does. */
export const arm64Missing = Bun.which("qemu-system-aarch64")
  ? ""
  : "(skipped: qemu-system-aarch64 is not installed)"

/** What the guest says. */
export const ARM64_READY = "ARM64-READY"

/** The PL011 of QEMU's machine `virt`, the console; PSCI's call to power off. */
const UART = 0x0900_0000
const SYSTEM_OFF = 0x8400_0008

// Words of the instruction set, each with what an assembler calls it.
const CODE = [
  0xd2a00001 | ((UART >>> 16) << 5), // movz x1, #UART, lsl #16
  0x10000142, //                        adr  x2, text
  0x38401443, //                  next: ldrb w3, [x2], #1
  0x34000063, //                        cbz  w3, off
  0xb9000023, //                        str  w3, [x1]
  0x17fffffd, //                        b    next
  0x52800000 | ((SYSTEM_OFF & 0xffff) << 5), // off: movz w0, #SYSTEM_OFF
  0x72a00000 | ((SYSTEM_OFF >>> 16) << 5), //   movk w0, #SYSTEM_OFF, lsl #16
  0xd4000002, //                        hvc  #0
  0xd503207f, //                  end:  wfi
  0x17ffffff, //                        b    end
]
const HEAD = 64

/**
 * A kernel for arm64, as Linux's boot protocol has it (arch/arm64/booting.rst): it writes ARM64_READY to its console
 * and powers off.
 */
export function arm64Guest(): Buffer {
  const image = Buffer.alloc(4096)
  image.writeUInt32LE(0x14000010, 0) // b HEAD
  image.writeBigUInt64LE(0x80000n, 8) // text_offset
  image.writeBigUInt64LE(BigInt(image.length), 16) // image_size
  image.write("ARM\x64", 56, "latin1")
  writeCode(image, HEAD)
  return image
}

function writeCode(image: Buffer, at: number): void {
  for (const [nth, word] of CODE.entries()) image.writeUInt32LE(word >>> 0, at + 4 * nth)
  image.write(`${ARM64_READY}\r\n\0`, at + 4 * CODE.length, "latin1")
}

const [PE, OPTIONAL, SECTIONS, PAGE] = [0x40, 0x58, 0xf8, 0x1000]

/** The same as a program for UEFI (PE32+ with one section; UEFI 2.10, 2.1.1). */
export function arm64EfiProgram(): Buffer {
  const image = Buffer.alloc(2 * PAGE)
  const put16 = (at: number, ...words: number[]) =>
    image.set(new Uint8Array(Uint16Array.from(words).buffer), at)
  const put32 = (at: number, ...words: number[]) =>
    image.set(new Uint8Array(Uint32Array.from(words).buffer), at)
  image.write("MZ", 0, "latin1")
  put32(0x3c, PE)
  image.write("PE\0\0", PE, "latin1")
  // AArch64, one section; an executable without lines and symbols.
  put16(PE + 4, 0xaa64, 1)
  put16(PE + 20, SECTIONS - OPTIONAL, 0x0206)
  put16(OPTIONAL, 0x20b)
  // Code, entry and base of it, wherever there is room; alignment in memory and in the file; sizes.
  put32(OPTIONAL + 4, PAGE, 0, 0, PAGE, PAGE)
  put32(OPTIONAL + 32, PAGE, PAGE)
  put32(OPTIONAL + 56, 2 * PAGE, PAGE)
  // An EFI application; directories.
  put16(OPTIONAL + 68, 10)
  put32(OPTIONAL + 108, 6)
  image.write(".text", SECTIONS, "latin1")
  // In memory and in the file; code, executable, readable, writable.
  put32(SECTIONS + 8, PAGE, PAGE, PAGE, PAGE)
  put32(SECTIONS + 36, 0xe0000020)
  writeCode(image, PAGE)
  return image
}
