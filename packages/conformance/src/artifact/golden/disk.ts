import { utf8 } from "../../registry/content.ts"

const CLUSTER = 4096
const SIZE = 1 << 20
/** Of an entry of a table: nobody else has the cluster. */
const OWN = 1n << 63n

/** Header, the two tables of reference counts, and the two that lead to the data: a cluster each. */
const [COUNTS, BLOCK, FIRST, SECOND, DATA] = [1, 2, 3, 4, 5]

/**
 * A qcow2 of version 3 for 1 MiB, in clusters of 4 KiB, with these clusters of the guest's disk: each begins with the
 * text, and goes on with zeros.
 */
export function qcow2With(texts: Readonly<Record<number, string>>): Buffer {
  const all = Object.entries(texts)
  const bytes = Buffer.alloc((DATA + all.length) * CLUSTER)
  bytes.write("QFI\u00fb", 0, "latin1")
  bytes.writeUInt32BE(3, 4)
  bytes.writeUInt32BE(Math.log2(CLUSTER), 20)
  bytes.writeBigUInt64BE(BigInt(SIZE), 24)
  bytes.writeUInt32BE(1, 36)
  bytes.writeBigUInt64BE(BigInt(FIRST * CLUSTER), 40)
  bytes.writeBigUInt64BE(BigInt(COUNTS * CLUSTER), 48)
  bytes.writeUInt32BE(1, 56)
  bytes.writeUInt32BE(4, 96)
  bytes.writeUInt32BE(104, 100)
  bytes.writeBigUInt64BE(BigInt(BLOCK * CLUSTER), COUNTS * CLUSTER)
  for (let at = 0; at < DATA + all.length; at++) bytes.writeUInt16BE(1, BLOCK * CLUSTER + 2 * at)
  bytes.writeBigUInt64BE(BigInt(SECOND * CLUSTER) | OWN, FIRST * CLUSTER)
  for (const [at, [cluster, text]] of all.entries()) {
    const place = (DATA + at) * CLUSTER
    bytes.writeBigUInt64BE(BigInt(place) | OWN, SECOND * CLUSTER + 8 * Number(cluster))
    utf8(text).copy(bytes, place)
  }
  return bytes
}
