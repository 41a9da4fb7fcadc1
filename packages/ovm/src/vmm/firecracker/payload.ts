import { promisify } from "node:util"
import { gunzip, zstdDecompress } from "node:zlib"
import { OvmError } from "../../errors.ts"
import { unpackXz } from "./xz.ts"

/** Gives what `packed` holds, `size` bytes and never more. Throws what the library throws. */
type Unpack = (packed: Buffer, size: number, signal?: AbortSignal) => Promise<Buffer>

/** Behind what is packed by anything but gzip, whose own last bytes those are, stands the size (4 bytes). */
const SIZE = 4

const KINDS: readonly (readonly [magic: string, name: string, unpack?: Unpack])[] = [
  ["\x1f\x8b", "gzip", (packed, size) => promisify(gunzip)(packed, { maxOutputLength: size })],
  ["\x28\xb5\x2f\xfd", "zstd", (packed, size) => unzstd(packed.subarray(0, -SIZE), size)],
  ["\xfd7zXZ", "xz", (packed, size, signal) => unpackXz(packed.subarray(0, -SIZE), size, signal)],
  ["\x02\x21\x4c\x18", "lz4", (packed, size) => unpackLz4(packed.subarray(0, -SIZE), size)],
  ["BZh", "bzip2"],
  ["\x5d\0\0", "lzma"],
  ["\x89LZO", "lzo"],
]

/** What unpacks the payload of the bzImage at `path`. Throws OVM_UNSUPPORTED by its name. */
export function unpackerOf(path: string, packed: Buffer): { readonly name: string; readonly unpack: Unpack } {
  const [, name = "an unknown way", unpack] =
    KINDS.find(([magic]) => packed.toString("latin1", 0, magic.length) === magic) ?? []
  if (unpack) return { name, unpack }
  const reason = `its kernel is compressed by ${name}; gzip, zstd, xz and lz4 are read`
  throw new OvmError("OVM_UNSUPPORTED", `/kernel: ${path}: ${reason}`, {
    detail: [{ pointer: "/kernel", reason }],
    hint: "give the kernel's ELF file (vmlinux), or run it with --vmm qemu",
  })
}

async function unzstd(packed: Buffer, size: number): Promise<Buffer> {
  return await promisify(zstdDecompress)(packed, { maxOutputLength: size })
}

/** Of one block of the legacy format, unpacked. */
const LZ4_BLOCK = 8 << 20

/** Linux packs with `lz4 -l`: a magic number, then blocks with their sizes in front. */
async function unpackLz4(packed: Buffer, size: number): Promise<Buffer> {
  const { uncompressSync } = await import("lz4-napi")
  const parts: Buffer[] = []
  let total = 0
  for (let at = 4; at + SIZE <= packed.length; ) {
    const length = packed.readUInt32LE(at)
    at += SIZE
    const room = Math.min(LZ4_BLOCK, size - total)
    if (length === 0 || at + length > packed.length || room === 0)
      throw new Error("a block of lz4 is cut off")
    // The library wants the room that it may fill in front.
    const sized = Buffer.allocUnsafe(SIZE + length)
    sized.writeUInt32LE(room)
    packed.copy(sized, SIZE, at, at + length)
    const part = uncompressSync(sized)
    parts.push(part)
    total += part.length
    at += length
  }
  return Buffer.concat(parts)
}
