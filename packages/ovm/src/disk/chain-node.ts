import type { ChainFile } from "./chain-reader.ts"

/**
 * The block node of QEMU's that is what a guest would read of `layers`, the lowest first (spec/disk.md): each has the
 * one below as its backing node, whatever its header says. Null of none.
 */
export function chainNode(layers: readonly ChainFile[]): object | null {
  const top = layers.at(-1)
  if (!top) return null
  const file = { driver: "file", filename: top.path, "read-only": true }
  const shared = { driver: top.format, "read-only": true, file }
  return top.format === "raw" ? shared : { ...shared, backing: chainNode(layers.slice(0, -1)) }
}
