import { inflateRawSync } from "node:zlib"
import { fail, must, skip } from "../check.ts"

/** What a guest would read. */
export interface Disk {
  readonly size: number
  read(offset: number, length: number): Buffer
}

const OFFSET = 0x00ff_ffff_ffff_fe00n
const COMPRESSED = 1n << 62n

/** What the header says; fails if it is none of a qcow2. */
function headOf(bytes: Buffer) {
  must(bytes.length >= 104 && bytes.toString("latin1", 0, 4) === "QFI\u00fb", "the disk layer is no qcow2")
  const bits = bytes.readUInt32BE(20)
  return {
    size: Number(bytes.readBigUInt64BE(24)),
    bits,
    cluster: 2 ** bits,
    entries: bytes.readUInt32BE(36),
    table: Number(bytes.readBigUInt64BE(40)),
  }
}

export interface Overlay {
  /** Bytes of the disk. */
  readonly size: number
  /** How many clusters have bytes of their own. */
  readonly clusters: number
}

/** What a layer above others holds, as far as its header and tables say. */
export function overlayOf(bytes: Buffer): Overlay {
  const { size, cluster, entries, table } = headOf(bytes)
  let clusters = 0
  for (let one = 0; one < entries; one++) {
    const second = Number(bytes.readBigUInt64BE(table + 8 * one) & OFFSET)
    if (second === 0) continue
    for (let two = 0; two < cluster / 8; two++) if (bytes.readBigUInt64BE(second + 8 * two) !== 0n) clusters++
  }
  return { size, clusters }
}

/** A qcow2 that stands alone; fails if it is none, or names a backing file. */
export function qcow2Disk(bytes: Buffer): Disk {
  must(headOf(bytes) && bytes.readBigUInt64BE(8) === 0n, "the disk layer names a backing file")
  return layerOn(bytes)
}

/** What a guest reads of these layers, base first, whatever their headers name. */
export function layeredDisk([base, ...above]: readonly Buffer[]): Disk {
  must(base, "the disk has no layers")
  return above.reduce((below, bytes) => layerOn(bytes, below), layerOn(base))
}

function layerOn(bytes: Buffer, below?: Disk): Disk {
  const { size, bits, cluster, table } = headOf(bytes)
  const zstd = bytes.readUInt32BE(4) >= 3 && bytes.readUInt32BE(100) > 104 && bytes.readUInt8(104) === 1
  const entry = (at: number) => (at + 8 <= bytes.length ? bytes.readBigUInt64BE(at) : 0n)
  const clusterAt = (index: number): Buffer => {
    const perTable = cluster / 8
    const second = Number(entry(table + Math.floor(index / perTable) * 8) & OFFSET)
    const found = second === 0 ? 0n : entry(second + (index % perTable) * 8)
    if (found === 0n && below) return below.read(index * cluster, cluster)
    if (found & COMPRESSED) return inflated(bytes, found, bits, zstd)
    const at = Number(found & OFFSET)
    const part = at === 0 || found & 1n ? Buffer.alloc(0) : bytes.subarray(at, at + cluster)
    return Buffer.concat([part, Buffer.alloc(cluster - part.length)])
  }
  return {
    size,
    read(offset, length) {
      const parts: Buffer[] = []
      for (let at = offset; at < offset + length; ) {
        const inside = at % cluster
        const part = clusterAt(Math.floor(at / cluster)).subarray(inside, inside + offset + length - at)
        parts.push(part)
        at += part.length
      }
      return Buffer.concat(parts)
    },
  }
}

function inflated(bytes: Buffer, entry: bigint, bits: number, zstd: boolean): Buffer {
  if (zstd) skip("the disk layer is compressed by zstd, which this suite does not unpack")
  const shift = BigInt(62 - (bits - 8))
  const at = Number(entry & ((1n << shift) - 1n))
  const sectors = Number((entry & (COMPRESSED - 1n)) >> shift) + 1
  const packed = bytes.subarray(at, at + sectors * 512 - (at & 511))
  try {
    // What lies behind its end belongs to others; SYNC_FLUSH has it not asked for more.
    const whole = inflateRawSync(packed, { finishFlush: 2, maxOutputLength: 2 ** bits })
    return Buffer.concat([whole, Buffer.alloc(2 ** bits - whole.length)])
  } catch (thrown) {
    fail(`a compressed cluster cannot be unpacked: ${(thrown as Error).message}`)
  }
}

/** How many snapshots it has inside. */
export function snapshotsIn(bytes: Buffer): number {
  return bytes.readUInt32BE(60)
}
