const CLUSTER = 1 << 16

/** An empty qcow2 of version 3 for `size` bytes, at most 512 MiB, whose header names a backing file. */
export function emptyOverlay(size: number, backing: string): Buffer {
  const bytes = Buffer.alloc(4 * CLUSTER)
  bytes.write("QFI\u00fb", 0, "latin1")
  bytes.writeUInt32BE(3, 4)
  bytes.writeUInt32BE(backing.length, 16)
  bytes.writeUInt32BE(16, 20)
  bytes.writeBigUInt64BE(BigInt(size), 24)
  bytes.writeUInt32BE(1, 36)
  bytes.writeBigUInt64BE(BigInt(3 * CLUSTER), 40)
  bytes.writeBigUInt64BE(BigInt(CLUSTER), 48)
  bytes.writeUInt32BE(1, 56)
  bytes.writeUInt32BE(4, 96)
  bytes.writeUInt32BE(104, 100)
  // Behind the header and the end of its extensions.
  bytes.writeBigUInt64BE(BigInt(104 + 8), 8)
  bytes.write(backing, 104 + 8, "latin1")
  // The table of reference counts has one block, which counts these four clusters.
  bytes.writeBigUInt64BE(BigInt(2 * CLUSTER), CLUSTER)
  for (let at = 0; at < 4; at++) bytes.writeUInt16BE(1, 2 * CLUSTER + 2 * at)
  return bytes
}
