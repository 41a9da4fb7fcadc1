/** RAM is compressed, verified and inflated in pieces of this many bytes (spec/snapshot.md: "RAM on the wire"). */
export const CHUNK = 262144
/** Of a guest: what a map of changed pages counts. */
export const GUEST_PAGE = 4096
/** The largest frame that a table may name (OVMS-SNP-051). */
export const FRAME_LIMIT = 327680

export type RamCompression = "zstd" | "lz4"

/** What a table of frames begins with, and what it has for each chunk; in bytes. */
export const TABLE_HEADER = 64
export const TABLE_ENTRY = 40

/** Bytes of the table of frames of RAM of `size` bytes (OVMS-SNP-034). */
export function tableSize(size: number): number {
  return TABLE_HEADER + (TABLE_ENTRY * size) / CHUNK
}

/** Bytes of the map of changed pages of RAM of `size` bytes (OVMS-SNP-121): a bit for each. */
export function pagesSize(size: number): number {
  return size / (8 * GUEST_PAGE)
}
