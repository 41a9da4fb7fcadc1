import { gzipSync } from "node:zlib"
import { hex } from "../registry/content.ts"
import { guestKernel } from "./guest.ts"
import { kernelOf } from "./make.ts"

/**
 * What the boot protocol of Linux for x86 enters in real mode (bzimage.s): it writes its command line to the first
 * serial port as `BZIMAGE […]`, the size of its initial RAM disk behind that as eight digits of base 16, and resets.
 */
const SETUP = hex(
  "fabed902e84d0066a1280289c383e30f66c1e8048ec0268a074384c07405e83d00ebf3bee302e82b0066a11c02b9080066c1c0046650240f04303c3a72020427e81b006658e2e9bee602e80700b0fee664f4ebfdac84c07415e80200ebf6bafd0388c4eca82074fbbaf80388e0eec3425a494d414745205b005d20000d0a00",
)
/** Where the code is in the file, and where the header ends that is before it. */
const ENTRY = 0x200
const BEGIN = 0x26a

/** In the file, and behind what precedes the kernel proper. */
const PAYLOAD = 4096
const SECTORS = 1024

/**
 * A kernel of that form, with nothing behind its set-up code that is ever entered: the suite's guest, compressed, is
 * there for a VMM that looks for what is inside.
 */
export function bzImage(): Buffer {
  const payload = gzipSync(guestKernel())
  const bytes = kernelOf(0, (PAYLOAD + payload.length + 15) & ~15)
  payload.copy(bytes, PAYLOAD)
  bytes.writeUInt32LE(PAYLOAD - SECTORS, 0x248)
  bytes.writeUInt32LE(payload.length, 0x24c)
  bytes.writeUInt16LE(0xeb | ((BEGIN - ENTRY - 2) << 8), ENTRY)
  // Loaded high, and with room for a heap.
  bytes.writeUInt8(0x81, 0x211)
  bytes.writeUInt32LE(0x100000, 0x214)
  bytes.writeUInt16LE(0xde00, 0x224)
  bytes.writeUInt32LE(0x7fffffff, 0x22c)
  SETUP.copy(bytes, BEGIN)
  return bytes
}
