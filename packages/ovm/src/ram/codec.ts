import type { RamCompression } from "./format.ts"

/** Makes one frame of a chunk, and a chunk of a frame. */
export interface Codec {
  compress(chunk: Uint8Array, level: number): Uint8Array
  /** Throws OVM_RAM_INVALID unless `frame` holds exactly one chunk. */
  inflate(frame: Uint8Array): Uint8Array
}

/** Only the one that is wanted is loaded: LZ4 is a library of its own. */
export async function codecFor(compression: RamCompression): Promise<Codec> {
  if (compression === "zstd") {
    const { compressZstd, inflateZstd } = await import("./zstd.ts")
    return { compress: compressZstd, inflate: inflateZstd }
  }
  const { compressLz4, inflateLz4 } = await import("./lz4.ts")
  return { compress: compressLz4, inflate: inflateLz4 }
}
