export const CLUSTER = 1 << 16

/**
 * Header and tables, in `clusters` clusters of `cluster` bytes, of a qcow2 of version 3 for `size` bytes, at most what
 * one table leads to (512 MiB, if not told): the table of reference counts with the one block that it has, and behind
 * that the first table, which leads nowhere.
 */
export function qcow2Head(size: number, clusters: number, cluster = CLUSTER): Buffer {
  const bytes = Buffer.alloc(clusters * cluster)
  bytes.write("QFI\u00fb", 0, "latin1")
  bytes.writeUInt32BE(3, 4)
  bytes.writeUInt32BE(Math.log2(cluster), 20)
  bytes.writeBigUInt64BE(BigInt(size), 24)
  bytes.writeUInt32BE(1, 36)
  bytes.writeBigUInt64BE(BigInt(3 * cluster), 40)
  bytes.writeBigUInt64BE(BigInt(cluster), 48)
  bytes.writeUInt32BE(1, 56)
  bytes.writeUInt32BE(4, 96)
  bytes.writeUInt32BE(104, 100)
  bytes.writeBigUInt64BE(BigInt(2 * cluster), cluster)
  return bytes
}

/** Counts the first `clusters` clusters of the file that begins with `head` as in use. */
export function count(head: Buffer, clusters: number, cluster = CLUSTER): void {
  for (let at = 0; at < clusters; at++) head.writeUInt16BE(1, 2 * cluster + 2 * at)
}

/** An empty qcow2 of version 3 for `size` bytes, at most 512 MiB, whose header names a backing file, if one is said. */
export function emptyOverlay(size: number, backing: string): Buffer {
  const bytes = qcow2Head(size, 4)
  count(bytes, 4)
  if (backing === "") return bytes
  bytes.writeUInt32BE(backing.length, 16)
  // Behind the header and the end of its extensions.
  bytes.writeBigUInt64BE(BigInt(104 + 8), 8)
  bytes.write(backing, 104 + 8, "latin1")
  return bytes
}
