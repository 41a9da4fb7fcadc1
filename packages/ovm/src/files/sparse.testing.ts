import { statSync } from "node:fs"

/** `bytes` in pieces of `size`. */
export async function* cut(bytes: Uint8Array, size: number): AsyncIterable<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
}

/** Bytes that the file takes on the disk. */
export function room(path: string): number {
  return statSync(path).blocks * 512
}
