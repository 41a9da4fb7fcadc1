import { type DiskReader, invalid } from "./file.ts"
import type { Qcow2Header } from "./header.ts"

export interface Allocation {
  /** Guest clusters that this file itself has content for, compressed ones included. */
  readonly allocatedClusters: number
  readonly compressedClusters: number
}

const CHUNK = 64 << 10
const TOP = 2 ** 32
// Of an entry's upper half: bit 63 "copied" and 62 "compressed"; 61–56 are reserved, the rest belongs to the offset.
const COMPRESSED = 0x40000000
const RESERVED_HIGH = 0x3f000000
const OFFSET_HIGH = 0x00ffffff
const OFFSET_LOW = 0xfffffe00

/**
 * Walks L1, L2 and refcount tables and refuses (OVM_DISK_INVALID) whatever points outside the file.
 * The work is bounded by the file's size: no table is read twice, and none that is not there is allocated.
 */
export async function readTables(
  disk: DiskReader,
  header: Qcow2Header,
  signal?: AbortSignal,
): Promise<Allocation> {
  await checkRefcounts(disk, header)
  const tables = await readL1(disk, header)
  let allocatedClusters = 0
  let compressedClusters = 0
  for (let index = 0; index < tables.length; index++) {
    const at = tables[index]
    if (!at) continue
    signal?.throwIfAborted()
    const view = await disk.read(at, header.clusterSize, `L2 table ${index}`)
    const count = countL2(disk, header, view, index)
    allocatedClusters += count.allocatedClusters
    compressedClusters += count.compressedClusters
  }
  return { allocatedClusters, compressedClusters }
}

/** Offsets of the L2 tables by L1 index; 0 where there is none. */
async function readL1(disk: DiskReader, header: Qcow2Header): Promise<Float64Array> {
  const { l1, clusterSize } = header
  const offsets = new Float64Array(l1.entries)
  await eachEntry(disk, { ...l1, what: "the L1 table" }, (high, low, index) => {
    const offset = (high & OFFSET_HIGH) * TOP + ((low & OFFSET_LOW) >>> 0)
    if (high & (RESERVED_HIGH | COMPRESSED) || low & ~OFFSET_LOW)
      throw invalid(disk.path, `L1 entry ${index} has reserved bits set`)
    if (offset % clusterSize !== 0) throw invalid(disk.path, `L2 table ${index} is not at a cluster's start`)
    if (offset + (offset && clusterSize) > disk.size)
      throw invalid(disk.path, `L2 table ${index} is truncated or lies outside the file`)
    offsets[index] = offset
  })
  const sorted = offsets.filter((offset) => offset !== 0).sort()
  const twice = sorted.find((offset, index) => offset === sorted[index + 1])
  if (twice !== undefined) throw invalid(disk.path, `the L2 table at ${twice} is used more than once`)
  return offsets
}

function countL2(disk: DiskReader, header: Qcow2Header, view: DataView, l1Index: number): Allocation {
  const { clusterSize, clusterBits, extendedL2, virtualSize, version } = header
  const stride = extendedL2 ? 16 : 8
  const perTable = clusterSize / stride
  // Of a compressed entry: x bits of offset, then the number of further sectors (qcow2.rst).
  const offsetBits = 62 - (clusterBits - 8)
  const offsetHigh = 2 ** (offsetBits - 32) - 1
  let allocatedClusters = 0
  let compressedClusters = 0
  for (let entry = 0; entry < perTable; entry++) {
    const high = view.getUint32(entry * stride)
    const low = view.getUint32(entry * stride + 4)
    if (high === 0 && low === 0 && !extendedL2) continue
    const guest = l1Index * perTable + entry
    const refuse = (reason: string) => invalid(disk.path, `the entry of guest cluster ${guest} ${reason}`)
    if (high & COMPRESSED) {
      const offset = (high & offsetHigh) * TOP + low
      const sectors = ((high & 0x3fffffff) >>> (offsetBits - 32)) + 1
      // The last sector may be cut short by the end of a file of odd length.
      if (Math.floor(offset / 512) + sectors > Math.ceil(disk.size / 512))
        throw refuse("points to compressed data beyond the file's end")
      compressedClusters++
      allocatedClusters++
      continue
    }
    const offset = (high & OFFSET_HIGH) * TOP + ((low & OFFSET_LOW) >>> 0)
    const zeroFlag = version === 3 && !extendedL2 ? 1 : 0
    if (high & RESERVED_HIGH || low & ~OFFSET_LOW & ~zeroFlag) throw refuse("has reserved bits set")
    if (offset % clusterSize !== 0) throw refuse("is not at a cluster's start")
    if (extendedL2) {
      const zero = view.getUint32(entry * stride + 8)
      const present = view.getUint32(entry * stride + 12)
      if (zero & present) throw refuse("has subclusters that are both allocated and zero")
      if (present && offset === 0) throw refuse("has allocated subclusters but no data")
    }
    if (offset === 0) continue
    const needed = Math.min(clusterSize, Math.max(0, virtualSize - guest * clusterSize))
    if (offset + needed > disk.size) throw refuse("points to data beyond the file's end")
    allocatedClusters++
  }
  return { allocatedClusters, compressedClusters }
}

/**
 * A layer's refcounts are never used, as it is never written to; what QEMU loads of them must be there all the same.
 */
async function checkRefcounts(disk: DiskReader, { refcounts, clusterSize }: Qcow2Header): Promise<void> {
  const table = { offset: refcounts.offset, entries: refcounts.bytes / 8, what: "the refcount table" }
  await eachEntry(disk, table, (high, low, index) => {
    const offset = high * TOP + low
    if (offset % clusterSize !== 0)
      throw invalid(disk.path, `refcount block ${index} is not at a cluster's start`)
    if (offset + (offset && clusterSize) > disk.size)
      throw invalid(disk.path, `refcount block ${index} is truncated or lies outside the file`)
  })
}

interface Table {
  /** In the file, in bytes. */
  readonly offset: number
  readonly entries: number
  /** For messages. */
  readonly what: string
}

/** Hands a table's big-endian 64-bit entries out as two halves: bigints would take ten times as long. */
async function eachEntry(
  disk: DiskReader,
  { offset, entries, what }: Table,
  use: (high: number, low: number, index: number) => void,
): Promise<void> {
  const perChunk = CHUNK / 8
  for (let first = 0; first < entries; first += perChunk) {
    const count = Math.min(perChunk, entries - first)
    const view = await disk.read(offset + first * 8, count * 8, what)
    for (let i = 0; i < count; i++) use(view.getUint32(i * 8), view.getUint32(i * 8 + 4), first + i)
  }
}
