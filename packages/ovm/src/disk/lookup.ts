import { inflateRawSync } from "node:zlib"
import type { DiskReader } from "./file.ts"
import { type Qcow2Header, readHeader } from "./header.ts"
import { MAX_VIRTUAL_SIZE } from "./inspect.ts"

/**
 * What a qcow2 has for one of its clusters: nothing, zeros, bytes at an offset in its file, bytes that are compressed
 * there, or something that this does not read.
 */
export type ClusterAt =
  | { readonly kind: "none" | "zero" | "strange" }
  | { readonly kind: "data"; readonly at: number }
  | { readonly kind: "packed"; readonly at: number; readonly length: number }

const TOP = 2 ** 32
const NONE: ClusterAt = { kind: "none" }
const ZERO: ClusterAt = { kind: "zero" }
const STRANGE: ClusterAt = { kind: "strange" }

/** Where a qcow2 that has passed inspectDisk keeps its clusters. One L2 table and one inflated cluster are held. */
export class Lookup {
  #held: { readonly index: number; readonly table: DataView | undefined } | undefined
  #unpacked: { readonly at: number; readonly bytes: Uint8Array } | undefined

  private constructor(
    readonly disk: DiskReader,
    readonly header: Qcow2Header,
  ) {}

  /** Throws OVM_DISK_INVALID. */
  static async of(disk: DiskReader): Promise<Lookup> {
    return new Lookup(disk, await readHeader(disk, MAX_VIRTUAL_SIZE))
  }

  /** The L2 table of that index in L1; undefined where there is none. */
  async table(index: number): Promise<DataView | undefined> {
    if (this.#held?.index === index) return this.#held.table
    const { l1, clusterSize } = this.header
    let table: DataView | undefined
    if (index < l1.entries) {
      const entry = await this.disk.read(l1.offset + index * 8, 8, "the L1 table")
      const at = offsetOf(entry.getUint32(0), entry.getUint32(4))
      if (at > 0) table = await this.disk.read(at, clusterSize, `L2 table ${index}`)
    }
    this.#held = { index, table }
    return table
  }

  async find(cluster: number): Promise<ClusterAt> {
    const { clusterSize, extendedL2 } = this.header
    const each = clusterSize / (extendedL2 ? 16 : 8)
    const table = await this.table(Math.floor(cluster / each))
    return table ? this.entry(table, cluster % each) : NONE
  }

  /** What an entry of one of its L2 tables says. */
  entry(table: DataView, entry: number): ClusterAt {
    const { clusterBits, extendedL2 } = this.header
    if (extendedL2) return STRANGE
    const at = entry * 8
    const [high, low] = [table.getUint32(at), table.getUint32(at + 4)]
    if (high & 0x40000000) return packed(high, low, clusterBits)
    if (low & 1) return ZERO
    const offset = offsetOf(high, low)
    return offset === 0 ? NONE : { kind: "data", at: offset }
  }

  /** The bytes of a cluster that was found compressed; undefined if they cannot be had. */
  async unpack({
    at,
    length,
  }: {
    readonly at: number
    readonly length: number
  }): Promise<Uint8Array | undefined> {
    if (this.#unpacked?.at === at) return this.#unpacked.bytes
    const { clusterSize, compression } = this.header
    const view = await this.disk.read(at, Math.min(length, this.disk.size - at), "a compressed cluster")
    if (compression !== "zlib") return undefined
    try {
      // What follows in the last sector is another cluster's.
      const bytes = inflateRawSync(new Uint8Array(view.buffer), { maxOutputLength: clusterSize })
      if (bytes.length !== clusterSize) return undefined
      this.#unpacked = { at, bytes }
      return bytes
    } catch {
      return undefined
    }
  }
}

function offsetOf(high: number, low: number): number {
  return (high & 0x00ffffff) * TOP + ((low & 0xfffffe00) >>> 0)
}

function packed(high: number, low: number, clusterBits: number): ClusterAt {
  const offsetBits = 62 - (clusterBits - 8)
  const at = (high & (2 ** (offsetBits - 32) - 1)) * TOP + low
  const sectors = ((high & 0x3fffffff) >>> (offsetBits - 32)) + 1
  return { kind: "packed", at, length: sectors * 512 - (at % 512) }
}
