import { createHash } from "node:crypto"
import { utf8 } from "../../registry/content.ts"

const CHUNK = 262_144
const PAGE = 4096
/** Of a block of a frame, in bytes. */
const MOST = 131_072

/** RAM that is zeros but for some pages, each with a text at its beginning, by their numbers. */
export type Pages = Readonly<Record<number, string>>

export interface WireRam {
  /** Frames of Zstandard, one a chunk (snapshot.md, "RAM on the wire"). */
  readonly blob: Buffer
  /** snapshot.md, "The table of frames". */
  readonly table: Buffer
  /** The memory digest (OVMS-SNP-023). */
  readonly digest: string
}

/** Of a chunk: whether it is zeros, its frame, and the SHA-256 of both. */
interface Piece {
  readonly isZero: boolean
  readonly frame: Buffer
  readonly frameSum: Buffer
  readonly sum: Buffer
}

/** RAM of `size` bytes, a multiple of a chunk. */
export function wireRam(size: number, pages: Pages): WireRam {
  const zero = pieceOf(Buffer.alloc(CHUNK), true)
  const filled = new Set(Object.keys(pages).map((page) => Math.floor((Number(page) * PAGE) / CHUNK)))
  const pieces = Array.from({ length: size / CHUNK }, (_, at) =>
    filled.has(at) ? pieceOf(chunkOf(at, pages), false) : zero,
  )
  const blob = Buffer.concat(pieces.map(({ frame }) => frame))
  const digest = `sha256:${sha256(...pieces.map(({ sum }) => sum)).toString("hex")}`
  const head = Buffer.alloc(64)
  head.write("OVMSRAMT")
  head.writeUInt32LE(1, 8)
  head.writeUInt32LE(CHUNK, 12)
  head.writeBigUInt64LE(BigInt(size), 16)
  head.writeUInt32LE(pieces.length, 24)
  head.writeUInt32LE(1, 28)
  sha256(blob).copy(head, 32)
  const entries = pieces.map(({ isZero, frame, frameSum }) => {
    const entry = Buffer.alloc(40)
    entry.writeUInt32LE(frame.length)
    entry.writeUInt32LE(isZero ? 1 : 0, 4)
    frameSum.copy(entry, 8)
    return entry
  })
  return { blob, table: Buffer.concat([head, ...entries]), digest }
}

function pieceOf(chunk: Buffer, isZero: boolean): Piece {
  const frame = frameOf(chunk)
  return { isZero, frame, frameSum: sha256(frame), sum: sha256(chunk) }
}

function sha256(...parts: readonly Uint8Array[]): Buffer {
  const hash = createHash("sha256")
  for (const part of parts) hash.update(part)
  return hash.digest()
}

/** The map of pages that differ, and how many they are (OVMS-SNP-122). */
export function changedPages(size: number, before: Pages, now: Pages): { map: Buffer; pages: number } {
  const map = Buffer.alloc(size / PAGE / 8)
  const changed = Object.keys({ ...before, ...now })
    .map(Number)
    .filter((page) => before[page] !== now[page])
  for (const page of changed) map.writeUInt8(map.readUInt8(page >> 3) | (1 << (page & 7)), page >> 3)
  return { map, pages: changed.length }
}

function chunkOf(at: number, pages: Pages): Buffer {
  const bytes = Buffer.alloc(CHUNK)
  for (const [page, text] of Object.entries(pages)) {
    const place = Number(page) * PAGE - at * CHUNK
    if (place >= 0 && place < CHUNK) utf8(text).copy(bytes, place)
  }
  return bytes
}

/** One frame by hand (RFC 8878): runs of zeros, and what is between them as it is. */
function frameOf(chunk: Buffer): Buffer {
  const head = Buffer.from("28b52ffda000000400", "hex")
  const blocks: Buffer[] = []
  for (let at = 0; at < CHUNK; ) {
    const zeros = runAt(chunk, at)
    const [type, size] = zeros > 0 ? [1, Math.min(zeros, MOST)] : [0, textAt(chunk, at)]
    const last = at + size === CHUNK ? 1 : 0
    const header = Buffer.alloc(3)
    header.writeUIntLE(last | (type << 1) | (size << 3), 0, 3)
    blocks.push(header, type === 1 ? Buffer.alloc(1) : chunk.subarray(at, at + size))
    at += size
  }
  return Buffer.concat([head, ...blocks])
}

/** How many zeros begin there. */
function runAt(chunk: Buffer, at: number): number {
  let end = at
  while (end < CHUNK && chunk[end] === 0) end++
  return end - at
}

function textAt(chunk: Buffer, at: number): number {
  const end = chunk.indexOf(0, at)
  return (end < 0 ? CHUNK : end) - at
}
