import { type DiskReader, invalid } from "./file.ts"
import { foreignOf } from "./foreign/foreign.ts"
import { QCOW2_MAGIC } from "./magic.ts"

/** The parts of a qcow2 header that matter to a reader (QEMU: docs/interop/qcow2.rst). Sizes and offsets are bytes. */
export interface Qcow2Header {
  readonly version: 2 | 3
  readonly clusterBits: number
  readonly clusterSize: number
  readonly virtualSize: number
  readonly l1: { readonly offset: number; readonly entries: number }
  readonly refcounts: { readonly offset: number; readonly bytes: number }
  readonly extendedL2: boolean
  readonly compression: "zlib" | "zstd"
  readonly backing?: { readonly offset: number; readonly length: number }
  /** Where the header extensions begin. */
  readonly length: number
}

const V2_LENGTH = 72
const V3_LENGTH = 104
const COMPRESSION_TYPE = 104
// QEMU's own bounds (block/qcow2.h): what is above them it does not open either.
const MAX_L1_BYTES = 32 << 20
const MAX_REFCOUNT_TABLE_BYTES = 8 << 20
const MAX_BACKING_NAME = 1023

const DIRTY = 1 << 0
const CORRUPT = 1 << 1
const EXTERNAL_DATA = 1 << 2
const COMPRESSION = 1 << 3
const EXTENDED_L2 = 1 << 4
const KNOWN = DIRTY | CORRUPT | EXTERNAL_DATA | COMPRESSION | EXTENDED_L2

/** Reads and judges the fixed header. Throws OVM_DISK_INVALID. `limit` bounds the virtual size, in bytes. */
export async function readHeader(disk: DiskReader, limit: number): Promise<Qcow2Header> {
  const refuse = (reason: string) => invalid(disk.path, reason)
  if (disk.size < 8) throw refuse("is too short for a qcow2 header")
  const start = await disk.read(0, 8, "the qcow2 header")
  if (start.getUint32(0) !== QCOW2_MAGIC) {
    const foreign = await foreignOf(disk)
    throw refuse(
      `does not start with qcow2's magic number${foreign ? `: it looks like ${foreign.name}` : ""}`,
    )
  }
  const version = start.getUint32(4)
  if (version !== 2 && version !== 3) throw refuse(`has unknown qcow2 version ${version}`)

  const view = await disk.read(0, version === 2 ? V2_LENGTH : V3_LENGTH, "the qcow2 header")
  const offset = (at: number) => Number(view.getBigUint64(at))
  const clusterBits = view.getUint32(20)
  if (clusterBits < 9 || clusterBits > 21) throw refuse(`has absurd cluster bits ${clusterBits} (9 to 21)`)
  const clusterSize = 2 ** clusterBits
  const length = version === 2 ? V2_LENGTH : view.getUint32(100)
  if (version === 3 && (length < V3_LENGTH || length % 8 !== 0 || length > clusterSize))
    throw refuse(`has a header length of ${length}`)
  const features = version === 2 ? NO_FEATURES : await readFeatures(disk, view, length)
  if (features.extendedL2 && clusterBits < 14)
    throw refuse("has extended L2 entries with clusters below 16 KiB")
  if (view.getUint32(32) !== 0) throw refuse("is encrypted")
  if (view.getUint32(60) !== 0) throw refuse("has internal snapshots")

  const virtualSize = offset(24)
  if (virtualSize > limit)
    throw refuse(`has a virtual size of ${virtualSize} bytes, above the limit of ${limit}`)
  if (virtualSize === 0 || virtualSize % 512 !== 0)
    throw refuse(`has a virtual size of ${virtualSize} bytes, not a positive multiple of 512`)

  const table = (name: string, at: number, bytes: number, most: number) => {
    if (bytes > most) throw refuse(`claims a ${name} of ${bytes} bytes (at most ${most})`)
    if (at === 0 || at % clusterSize !== 0)
      throw refuse(`has its ${name} at ${at}, not at a cluster of its own`)
    if (at + bytes > disk.size) throw refuse(`${name} is truncated or lies outside the file`)
  }
  const l1 = { offset: offset(40), entries: view.getUint32(36) }
  table("L1 table", l1.offset, l1.entries * 8, MAX_L1_BYTES)
  const reach = clusterSize * (clusterSize / (features.extendedL2 ? 16 : 8))
  if (l1.entries < Math.ceil(virtualSize / reach))
    throw refuse(`has an L1 table of ${l1.entries} entries, too small for ${virtualSize} bytes`)
  const refcounts = { offset: offset(48), bytes: view.getUint32(56) * clusterSize }
  if (refcounts.bytes === 0) throw refuse("has no refcount table")
  table("refcount table", refcounts.offset, refcounts.bytes, MAX_REFCOUNT_TABLE_BYTES)

  const common = {
    version,
    clusterBits,
    clusterSize,
    virtualSize,
    l1,
    refcounts,
    length,
    ...features,
  } as const
  const backing = { offset: offset(8), length: view.getUint32(16) }
  if (backing.offset === 0) return common
  if (backing.length === 0 || backing.length > MAX_BACKING_NAME)
    throw refuse(`has a backing file name of ${backing.length} bytes`)
  if (backing.offset < length || backing.offset + backing.length > Math.min(clusterSize, disk.size))
    throw refuse("has its backing file name outside the header's cluster")
  return { ...common, backing }
}

interface Features {
  readonly extendedL2: boolean
  readonly compression: "zlib" | "zstd"
}

const NO_FEATURES: Features = { extendedL2: false, compression: "zlib" }

/** Version 3's feature words. Autoclear and compatible bits are for writers, and a layer is never written to. */
async function readFeatures(disk: DiskReader, view: DataView, length: number): Promise<Features> {
  const refuse = (reason: string) => invalid(disk.path, reason)
  const incompatible = view.getBigUint64(72)
  const unknown = incompatible & ~BigInt(KNOWN)
  if (unknown !== 0n) throw refuse(`needs unknown incompatible features (bits 0x${unknown.toString(16)})`)
  const bits = Number(incompatible)
  if (bits & EXTERNAL_DATA) throw refuse("keeps its data in an external data file")
  if (bits & DIRTY) throw refuse("is marked dirty: it was not closed properly")
  if (bits & CORRUPT) throw refuse("is marked corrupt")
  const order = view.getUint32(96)
  if (order > 6) throw refuse(`has refcount order ${order} (at most 6)`)

  const type =
    length > COMPRESSION_TYPE ? (await disk.read(COMPRESSION_TYPE, 1, "the qcow2 header")).getUint8(0) : 0
  if (type > 1) throw refuse(`has unknown compression type ${type}`)
  if ((type !== 0) !== ((bits & COMPRESSION) !== 0))
    throw refuse("contradicts itself about its compression type")
  return { extendedL2: (bits & EXTENDED_L2) !== 0, compression: type === 1 ? "zstd" : "zlib" }
}
