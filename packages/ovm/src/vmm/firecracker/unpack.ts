import { writeFile } from "node:fs/promises"
import type { Call } from "../../content/interfaces.ts"
import { OvmError } from "../../errors.ts"
import { readRegular } from "../../files/regular.ts"
import { unpackerOf } from "./payload.ts"

// Linux/x86 boot protocol 2.08 and later (kernel.org: arch/x86/boot.rst).
const SETUP_SECTORS = 0x1f1
const PROTOCOL = 0x206
const PROTOCOL_OF_PAYLOAD = 0x208
const PAYLOAD_OFFSET = 0x248
const PAYLOAD_LENGTH = 0x24c
/** The payload's last four bytes say how large it is unpacked. */
const SIZE = 4
const MOST_PACKED = 256 << 20
const MOST_UNPACKED = 512 << 20

/**
 * Writes the kernel inside the bzImage at `path`, which has passed checkKernel, to `into`: an ELF file. Never more than
 * the bzImage says, and 512 MiB, are unpacked. Throws OVM_KERNEL_INVALID, OVM_UNSUPPORTED, OVM_HOST_FAILED.
 */
export async function unpackKernel(path: string, into: string, { signal }: Call = {}): Promise<void> {
  const image = Buffer.from(await readRegular(path, MOST_PACKED))
  const packed = payloadOf(path, image)
  const size = packed.readUInt32LE(packed.length - SIZE)
  if (size > MOST_UNPACKED)
    throw invalid(path, `says that its kernel has ${size} bytes unpacked, more than ${MOST_UNPACKED}`)
  const { name, unpack } = unpackerOf(path, packed)
  let kernel: Buffer
  try {
    kernel = await unpack(packed, size, signal)
  } catch (thrown) {
    if (thrown instanceof OvmError) throw thrown
    throw invalid(path, `has a damaged payload (${name}): ${(thrown as Error).message}`, thrown)
  }
  if (kernel.length !== size)
    throw invalid(path, `holds ${kernel.length} bytes of kernel, and says that it holds ${size}`)
  if (kernel.toString("latin1", 0, 4) !== "\x7fELF") throw invalid(path, "has no ELF kernel inside")
  await writeFile(into, kernel, { flag: "wx", mode: 0o600 })
}

function payloadOf(path: string, image: Buffer): Buffer {
  if (image.readUInt16LE(PROTOCOL) < PROTOCOL_OF_PAYLOAD)
    throw invalid(path, "is of a Linux before 2.6.26, which does not say where its kernel is")
  const setup = ((image[SETUP_SECTORS] || 4) + 1) * 512
  const from = setup + image.readUInt32LE(PAYLOAD_OFFSET)
  const length = image.readUInt32LE(PAYLOAD_LENGTH)
  if (length <= 2 * SIZE || from + length > image.length)
    throw invalid(path, "says that its kernel is where the file has nothing")
  return image.subarray(from, from + length)
}

function invalid(path: string, reason: string, cause?: unknown): OvmError {
  return new OvmError("OVM_KERNEL_INVALID", `${path}: ${reason}`, { detail: { path }, cause })
}
