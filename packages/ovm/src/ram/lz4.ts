import { compressSync, uncompressSync } from "lz4-napi"
import { CHUNK } from "./format.ts"
import { malformedRam } from "./malformed.ts"

// One chunk, one frame of one block (LZ4 frame format 1.6). The library knows blocks; frames are ours.

export const LZ4_MAGIC = 0x184d2204
export const UNCOMPRESSED = 0x80000000
const HEADER = Buffer.alloc(15)
HEADER.writeUInt32LE(LZ4_MAGIC, 0)
// Version 1, independent blocks, content size; blocks of at most 256 KiB.
HEADER.set([0x68, 0x50], 4)
HEADER.writeBigUInt64LE(BigInt(CHUNK), 6)
HEADER.writeUInt8(headerChecksum(HEADER.subarray(4, 14)), 14)
const END = Buffer.alloc(4)

/** The second byte of the xxHash of a frame's descriptor. */
export function headerChecksum(descriptor: Uint8Array): number {
  return (Bun.hash.xxHash32(descriptor as Uint8Array<ArrayBuffer>) >>> 8) & 0xff
}

export function compressLz4(chunk: Uint8Array): Uint8Array {
  const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)
  // The library puts the size in front of the block, as a frame does; only that this one is the compressed size.
  const packed = compressSync(bytes)
  const size = packed.length - 4
  if (size >= CHUNK) {
    const plain = Buffer.alloc(4)
    plain.writeUInt32LE((UNCOMPRESSED | CHUNK) >>> 0)
    return Buffer.concat([HEADER, plain, bytes, END])
  }
  packed.writeUInt32LE(size)
  return Buffer.concat([HEADER, packed, END])
}

/**
 * The chunk in `frame`, which must be as `compressLz4` writes them, or one of several blocks. Throws OVM_RAM_INVALID.
 */
export function inflateLz4(frame: Uint8Array): Uint8Array {
  const bytes = Buffer.from(frame.buffer, frame.byteOffset, frame.byteLength)
  if (bytes.length < 11 || bytes.readUInt32LE(0) !== LZ4_MAGIC) throw malformedRam("there is no LZ4 frame")
  const { length, blockLimit, blockChecksum, contentChecksum, linked, contentSize } = parseHeader(
    bytes.subarray(4, 19),
  )
  if (contentSize !== CHUNK)
    throw malformedRam(
      `an LZ4 frame says that it holds ${contentSize ?? "an unknown number of"} bytes, not ${CHUNK}`,
    )
  if (linked) throw malformedRam("the blocks of an LZ4 frame are not independent", "OVMS-SNP-041")
  const parts: Uint8Array[] = []
  let total = 0
  let at = 4 + length
  for (;;) {
    if (at + 4 > bytes.length) throw malformedRam("an LZ4 frame is cut off")
    const word = bytes.readUInt32LE(at)
    at += 4
    if (word === 0) break
    const size = word & 0x7fffffff
    if (at + size > bytes.length) throw malformedRam("an LZ4 frame is cut off")
    const part = inflateBlock(
      bytes.subarray(at, at + size),
      word >= UNCOMPRESSED,
      Math.min(blockLimit, CHUNK - total),
    )
    parts.push(part)
    total += part.length
    at += size + (blockChecksum ? 4 : 0)
  }
  if (at + (contentChecksum ? 4 : 0) !== bytes.length) throw malformedRam("there is more than one LZ4 frame")
  if (total !== CHUNK) throw malformedRam(`a frame holds ${total} bytes, not ${CHUNK}`)
  const [first] = parts
  return parts.length === 1 && first ? first : Buffer.concat(parts)
}

/**
 * The content of one block, of at most `limit` bytes; `before` is what a linked block may refer to. Throws
 * OVM_RAM_INVALID.
 */
export function inflateBlock(block: Buffer, plain: boolean, limit: number, before?: Buffer): Buffer {
  if (plain) {
    if (block.length > limit) throw malformedRam(`an LZ4 block holds more than ${limit} bytes`)
    return block
  }
  // The library wants the room that it may fill in front.
  const sized = Buffer.allocUnsafe(4 + block.length)
  sized.writeUInt32LE(limit)
  block.copy(sized, 4)
  try {
    return uncompressSync(sized, before)
  } catch (cause) {
    throw malformedRam("an LZ4 block is damaged, or holds more than it may", "OVMS-SNP-044", cause)
  }
}

export interface Lz4Header {
  /** Bytes of the header, without the magic number. */
  readonly length: number
  readonly linked: boolean
  readonly blockChecksum: boolean
  readonly contentChecksum: boolean
  readonly contentSize: number | undefined
  readonly blockLimit: number
}

/** Reads the header behind the magic number; `bytes` has all of it. Throws OVM_RAM_INVALID. */
export function parseHeader(bytes: Buffer): Lz4Header {
  const flags = bytes.readUInt8(0)
  const length = headerLength(flags)
  const block = (bytes.readUInt8(1) >> 4) & 7
  if (flags >> 6 !== 1 || (flags & 2) !== 0 || block < 4 || bytes.length < length)
    throw malformedRam("the header of an LZ4 frame is not known")
  if ((flags & 1) !== 0) throw malformedRam("an LZ4 frame wants a dictionary", "OVMS-SNP-043")
  if (headerChecksum(bytes.subarray(0, length - 1)) !== bytes.readUInt8(length - 1))
    throw malformedRam("the header of an LZ4 frame is damaged")
  return {
    length,
    linked: (flags & 0x20) === 0,
    blockChecksum: (flags & 0x10) !== 0,
    contentSize: (flags & 8) !== 0 ? Number(bytes.readBigUInt64LE(2)) : undefined,
    contentChecksum: (flags & 4) !== 0,
    blockLimit: 1 << (8 + 2 * block),
  }
}

/** Flags, block size, content size, dictionary, checksum. */
export function headerLength(flags: number): number {
  return 3 + ((flags & 8) !== 0 ? 8 : 0) + ((flags & 1) !== 0 ? 4 : 0)
}
