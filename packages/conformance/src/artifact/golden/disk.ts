import { utf8 } from "../../registry/content.ts"
import { count, qcow2Head } from "../qcow2.ts"

const CLUSTER = 4096
const SIZE = 1 << 20
/** Of an entry of a table: nobody else has the cluster. */
const OWN = 1n << 63n

/** The tables that lead to the data, and the data, each behind the other. */
const [FIRST, SECOND, DATA] = [3, 4, 5]

/**
 * A qcow2 of version 3 for 1 MiB, in clusters of 4 KiB, with these clusters of the guest's disk: each begins with the
 * text, and goes on with zeros.
 */
export function qcow2With(texts: Readonly<Record<number, string>>): Buffer {
  const all = Object.entries(texts)
  const bytes = qcow2Head(SIZE, DATA + all.length, CLUSTER)
  count(bytes, DATA + all.length, CLUSTER)
  bytes.writeBigUInt64BE(BigInt(SECOND * CLUSTER) | OWN, FIRST * CLUSTER)
  for (const [at, [cluster, text]] of all.entries()) {
    const place = (DATA + at) * CLUSTER
    bytes.writeBigUInt64BE(BigInt(place) | OWN, SECOND * CLUSTER + 8 * Number(cluster))
    utf8(text).copy(bytes, place)
  }
  return bytes
}
