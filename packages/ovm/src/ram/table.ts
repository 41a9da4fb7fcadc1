import type { Digest } from "../content/digest.ts"
import { hexOf } from "../content/digest.ts"
import { OvmError } from "../errors.ts"
import { CHUNK, FRAME_LIMIT, type RamCompression, TABLE_ENTRY, TABLE_HEADER, tableSize } from "./format.ts"

// The table of frames, byte by byte as spec/snapshot.md has it.

const MAGIC = Buffer.from("OVMSRAMT")
const VERSION = 1
const ZERO = 1
const COMPRESSIONS: readonly RamCompression[] = ["zstd", "lz4"]

/** One frame of the blob. */
export interface Frame {
  /** Bytes in the blob. */
  readonly size: number
  /** The chunk is all zeros. */
  readonly zero: boolean
  /** SHA-256 of the frame. */
  readonly digest: Uint8Array
}

/** What the snapshot descriptor says of the RAM. */
export interface RamFacts {
  /** Of the compressed RAM. */
  readonly ref: Digest
  readonly compression: RamCompression
  /** Bytes of RAM. */
  readonly size: number
}

/** The table of `frames`, one for each chunk of `size` bytes of RAM, whose blob is `ref`. */
export function writeTable({ ref, compression, size }: RamFacts, frames: readonly Frame[]): Uint8Array {
  const bytes = Buffer.alloc(TABLE_HEADER + TABLE_ENTRY * frames.length)
  MAGIC.copy(bytes)
  bytes.writeUInt32LE(VERSION, 8)
  bytes.writeUInt32LE(CHUNK, 12)
  bytes.writeBigUInt64LE(BigInt(size), 16)
  bytes.writeUInt32LE(frames.length, 24)
  bytes.writeUInt32LE(COMPRESSIONS.indexOf(compression) + 1, 28)
  bytes.write(hexOf(ref), 32, "hex")
  for (const [index, frame] of frames.entries()) {
    const at = TABLE_HEADER + TABLE_ENTRY * index
    bytes.writeUInt32LE(frame.size, at)
    bytes.writeUInt32LE(frame.zero ? ZERO : 0, at + 4)
    bytes.set(frame.digest, at + 8)
  }
  return bytes
}

/** A table that was checked. The entries are read where they are: there are four thousand for each GiB. */
export class RamTable {
  readonly #bytes: Buffer
  readonly count: number
  /** Bytes of all frames: of the blob. */
  readonly blobSize: number

  /**
   * Checks `bytes` against itself and what the descriptor says (OVMS-SNP-050 to OVMS-SNP-052). Throws
   * OVM_SNAPSHOT_INVALID naming the field.
   */
  constructor(bytes: Uint8Array, facts: RamFacts) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#checkHeader(facts)
    this.count = facts.size / CHUNK
    this.blobSize = this.#checkEntries()
  }

  frame(index: number): Frame {
    const at = TABLE_HEADER + TABLE_ENTRY * index
    return {
      size: this.#bytes.readUInt32LE(at),
      zero: this.#bytes.readUInt32LE(at + 4) === ZERO,
      digest: this.#bytes.subarray(at + 8, at + TABLE_ENTRY),
    }
  }

  #checkHeader({ ref, compression, size }: RamFacts): void {
    const b = this.#bytes
    if (b.length < TABLE_HEADER || !b.subarray(0, 8).equals(MAGIC))
      throw invalid("OVMS-SNP-050", "it does not begin as one")
    const version = b.readUInt32LE(8)
    if (version !== VERSION) throw invalid("OVMS-SNP-050", `version is ${version}, not ${VERSION}`)
    const chunk = b.readUInt32LE(12)
    if (chunk !== CHUNK) throw invalid("OVMS-SNP-050", `the size of a chunk is ${chunk}, not ${CHUNK}`)
    const raw = b.readBigUInt64LE(16)
    if (raw !== BigInt(size))
      throw invalid("OVMS-SNP-052", `the size of the RAM is ${raw}, but the descriptor says ${size}`)
    const count = b.readUInt32LE(24)
    if (count !== size / CHUNK)
      throw invalid("OVMS-SNP-050", `the number of chunks is ${count}, not ${size / CHUNK}`)
    const kind = COMPRESSIONS[b.readUInt32LE(28) - 1]
    if (kind === undefined) throw invalid("OVMS-SNP-050", `compression ${b.readUInt32LE(28)} is not known`)
    if (kind !== compression)
      throw invalid("OVMS-SNP-052", `compression is ${kind}, but the descriptor says ${compression}`)
    const blob = b.toString("hex", 32, TABLE_HEADER)
    if (blob !== hexOf(ref))
      throw invalid("OVMS-SNP-052", `it is of the blob sha256:${blob}, but the descriptor says ${ref}`)
    if (b.length !== tableSize(size))
      throw invalid("OVMS-SNP-050", `it has ${b.length} bytes, where ${count} chunks need ${tableSize(size)}`)
  }

  #checkEntries(): number {
    let sum = 0
    for (let index = 0; index < this.count; index++) {
      const at = TABLE_HEADER + TABLE_ENTRY * index
      const size = this.#bytes.readUInt32LE(at)
      const flags = this.#bytes.readUInt32LE(at + 4)
      if (size < 1 || size > FRAME_LIMIT)
        throw invalid("OVMS-SNP-051", `frame ${index} has ${size} bytes, not 1 to ${FRAME_LIMIT}`)
      if (flags > ZERO) throw invalid("OVMS-SNP-050", `the flags of frame ${index} are ${flags}`)
      sum += size
    }
    return sum
  }
}

function invalid(requirement: string, reason: string): OvmError {
  return new OvmError("OVM_SNAPSHOT_INVALID", `the table of frames: ${reason} [${requirement}]`, {
    detail: { requirement },
  })
}
