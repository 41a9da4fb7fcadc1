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
  for (const [at, word] of CODE.entries()) image.writeUInt32LE(word >>> 0, HEAD + 4 * at)
  image.write(`${ARM64_READY}\r\n\0`, HEAD + 4 * CODE.length, "latin1")
  return image
}
