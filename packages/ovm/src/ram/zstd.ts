import { CHUNK } from "./format.ts"
import { malformedRam } from "./malformed.ts"

// One chunk, one frame (RFC 8878). Bun's own calls: the ones of node:zlib are a third slower.

const MAGIC = 0xfd2fb528
const RUN_BLOCK = 1
const RESERVED_BLOCK = 3

export function compressZstd(chunk: Uint8Array, level: number): Uint8Array {
  return Bun.zstdCompressSync(chunk as Uint8Array<ArrayBuffer>, { level })
}

/**
 * The chunk in `frame`. It must say in its header that it holds exactly one, and then gets no more room than that, so
 * that a bomb goes nowhere. Throws OVM_RAM_INVALID.
 */
export function inflateZstd(frame: Uint8Array): Uint8Array {
  const said = contentSize(frame)
  if (said !== CHUNK)
    throw malformedRam(
      `a Zstandard frame says that it holds ${said ?? "an unknown number of"} bytes, not ${CHUNK}`,
    )
  let chunk: Uint8Array
  try {
    chunk = Bun.zstdDecompressSync(frame as Uint8Array<ArrayBuffer>)
  } catch (cause) {
    throw malformedRam("a Zstandard frame is damaged", "OVMS-SNP-044", cause)
  }
  if (chunk.byteLength !== CHUNK) throw malformedRam(`a frame holds ${chunk.byteLength} bytes, not ${CHUNK}`)
  return chunk
}

/**
 * The content size in the header of the one frame that `frame` is; undefined if there is none. Throws OVM_RAM_INVALID.
 */
function contentSize(frame: Uint8Array): number | undefined {
  const bytes = Buffer.from(frame.buffer, frame.byteOffset, frame.byteLength)
  if (bytes.length < 5 || bytes.readUInt32LE(0) !== MAGIC) throw malformedRam("there is no Zstandard frame")
  const { sizeAt, sizeBytes } = header(bytes.readUInt8(4))
  const wordAt = (at: number) => (at + 3 <= bytes.length ? bytes.readUIntLE(at, 3) : undefined)
  // The library inflates whatever follows the first frame as well, and gives that all the room it wants.
  if (endOfFrame(bytes.readUInt8(4), 0, wordAt) !== bytes.length)
    throw malformedRam("there is more, or less, than one Zstandard frame")
  if (sizeBytes === 0) return undefined
  if (sizeBytes === 8) return Number(bytes.readBigUInt64LE(sizeAt))
  return bytes.readUIntLE(sizeAt, sizeBytes) + (sizeBytes === 2 ? 256 : 0)
}

/**
 * Where the frame that begins at byte `start` ends, by its blocks' headers alone: `wordAt` reads the three bytes of
 * one, undefined beyond the end. `descriptor` is the byte behind its magic number. Throws OVM_RAM_INVALID.
 */
export function endOfFrame(
  descriptor: number,
  start: number,
  wordAt: (at: number) => number | undefined,
): number {
  const { sizeAt, sizeBytes, checksum } = header(descriptor)
  for (let at = start + sizeAt + sizeBytes; ; ) {
    const word = wordAt(at)
    if (word === undefined) throw malformedRam("the last Zstandard frame is cut off")
    const type = (word >> 1) & 3
    if (type === RESERVED_BLOCK) throw malformedRam(`the Zstandard block at byte ${at} has no type`)
    // A run of one byte is stored as that byte, whatever its length.
    at += 3 + (type === RUN_BLOCK ? 1 : word >> 3)
    if ((word & 1) === 1) return at + (checksum ? 4 : 0)
  }
}

/** What the descriptor byte of a frame's header says of the rest of it (RFC 8878, 3.1.1.1). */
function header(descriptor: number): {
  readonly sizeAt: number
  readonly sizeBytes: number
  readonly checksum: boolean
} {
  const single = (descriptor & 0x20) !== 0
  const sizeFlag = descriptor >> 6
  const dictionary = [0, 1, 2, 4][descriptor & 3] ?? 0
  const sizeBytes = sizeFlag === 0 ? (single ? 1 : 0) : 1 << sizeFlag
  return { sizeAt: 5 + (single ? 0 : 1) + dictionary, sizeBytes, checksum: (descriptor & 4) !== 0 }
}
