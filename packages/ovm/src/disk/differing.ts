import { setImmediate } from "node:timers/promises"
import type { Call } from "../content/interfaces.ts"
import { isZero } from "../files/zeros.ts"
import type { ChainReader } from "./chain-reader.ts"
import { GLANCE, Glances } from "./glances.ts"
import { buffers, CLUSTER, type GuestWrites, PER_TABLE, type Place } from "./guest-writes.ts"

/** What becomes of a cluster in a layer: it is left to what is below, it is zeros, or it has bytes. */
export const LEFT = 0
export const ZEROED = 1
export const BYTES = 2

/** What becomes of each cluster, by the index of its L2 table; of a table that is not there all are left. */
export type Differing = ReadonlyMap<number, Uint8Array>

/** So many clusters are looked at before others have their turn. */
const LOOKS = 64

/** Which clusters of `written` are not as `below` has them. Throws what reading throws, and if `call` is cancelled. */
export async function differing(written: GuestWrites, below: ChainReader, call: Call): Promise<Differing> {
  const found = new Map<number, Uint8Array>()
  const between = buffers()
  const differs = looking(below)
  let looks = 0
  const clusters = Math.ceil(written.size / CLUSTER)
  for (let index = 0; index * PER_TABLE < clusters; index++) {
    call.signal?.throwIfAborted()
    const table = await written.table(index)
    if (!table) continue
    const first = index * PER_TABLE
    const kinds = new Uint8Array(PER_TABLE)
    const doubtful: number[] = []
    for (let entry = 0; entry < Math.min(PER_TABLE, clusters - first); entry++) {
      const place = table.find(entry)
      if (place === undefined) continue
      if (looks++ % LOOKS === 0) await setImmediate()
      if (place === "zeros") {
        if (!(await isBelow(below, first + entry))) kinds[entry] = ZEROED
      } else if (await differs(place, first + entry)) kinds[entry] = BYTES
      else doubtful.push(entry)
    }
    for await (const { entry, bytes } of table.read(doubtful, between)) {
      call.signal?.throwIfAborted()
      for (let at = 0; at < bytes.length; at += CLUSTER) {
        const nth = entry + at / CLUSTER
        const cluster = bytes.subarray(at, at + CLUSTER)
        if (!(await isBelow(below, first + nth, cluster))) kinds[nth] = isZero(cluster) ? ZEROED : BYTES
      }
    }
    if (kinds.some((kind) => kind !== LEFT)) found.set(index, kinds)
  }
  return found
}

/**
 * Whether a glance tells that a cluster has bytes, and others than below. Of most that a guest has written it does, and
 * they are read once only then: to be stored.
 */
function looking(below: ChainReader): (place: Place, cluster: number) => Promise<boolean> {
  const glances = new Glances()
  const under = Buffer.allocUnsafeSlow(GLANCE)
  return async ({ disk, at }, cluster) => {
    const bytes = glances.at(disk, at, Math.min(GLANCE, disk.size - at))
    if (isZero(bytes)) return false
    const found = await below.read(cluster * CLUSTER, GLANCE, under)
    return found === undefined || !bytes.equals(found.subarray(0, bytes.length))
  }
}

/** Whether a cluster is below as it is here: `bytes`, or zeros. What cannot be read is not. */
async function isBelow(below: ChainReader, cluster: number, bytes?: Uint8Array): Promise<boolean> {
  for (const length of [GLANCE, CLUSTER]) {
    const under = await below.read(cluster * CLUSTER, length)
    if (!under) return false
    const same = bytes ? Buffer.compare(under, bytes.subarray(0, length)) === 0 : isZero(under)
    if (!same) return false
  }
  return true
}
