import { ZEROS } from "../files/zeros.ts"

/** RAM is compressed, verified and inflated in pieces of this many bytes (spec/snapshot.md: "RAM on the wire"). */
export const CHUNK = 262144
/** Of a guest: what a map of changed pages counts. */
export const PAGE = 4096
/** The largest frame that a table may name (OVMS-SNP-051). */
export const FRAME_LIMIT = 327680

export type RamCompression = "zstd" | "lz4"

/** A chunk of zeros. Not to be written to. */
export const zeroChunk: Uint8Array = ZEROS.subarray(0, CHUNK)
