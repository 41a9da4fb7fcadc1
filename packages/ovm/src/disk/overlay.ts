import { closeSync, constants, fstatSync, ftruncateSync, openSync, readSync, writeSync } from "node:fs"
import { rm } from "node:fs/promises"
import { toOvmError } from "../errors.ts"
import { guardedSync } from "../files/guarded.ts"
import { openIfPresent } from "../files/present.ts"
import { named } from "../files/writing.ts"
import { invalid } from "./file.ts"
import { MAX_VIRTUAL_SIZE } from "./inspect.ts"
import { QCOW2_MAGIC } from "./magic.ts"

const CLUSTER_BITS = 16
const CLUSTER = 2 ** CLUSTER_BITS
/** One L2 table of 8,192 entries maps 512 MiB. */
const L1_REACH = CLUSTER * (CLUSTER / 8)
const HEADER_LENGTH = 112
const REFCOUNT_ORDER = 4 // 16-bit counts

/**
 * Where what every qcow2 of this host begins with is, by cluster, and its header; `virtualSize` in bytes. The rest of
 * the file begins at `clusters`.
 */
export function layout(virtualSize: number) {
  const l1Entries = Math.ceil(virtualSize / L1_REACH)
  const l1Clusters = Math.ceil((l1Entries * 8) / CLUSTER)
  const [refcountTable, refcountBlock, l1Table] = [1, 2, 3]
  const header = new DataView(new ArrayBuffer(HEADER_LENGTH))
  header.setUint32(0, QCOW2_MAGIC)
  header.setUint32(4, 3)
  header.setUint32(20, CLUSTER_BITS)
  header.setBigUint64(24, BigInt(virtualSize))
  header.setUint32(36, l1Entries)
  header.setBigUint64(40, BigInt(l1Table * CLUSTER))
  header.setBigUint64(48, BigInt(refcountTable * CLUSTER))
  header.setUint32(56, 1)
  header.setUint32(96, REFCOUNT_ORDER)
  header.setUint32(100, HEADER_LENGTH)
  return { header, l1Entries, refcountTable, refcountBlock, l1Table, clusters: l1Table + l1Clusters }
}

/**
 * Creates an empty writable qcow2 v3 at `path`, which must not exist yet: header, refcount table and block, L1 table,
 * each in clusters of its own, nearly all of it a hole. No backing file is written into the header: the chain is
 * explicit (spec/disk.md). `virtualSize` is in bytes, a multiple of 512. Throws OVM_DISK_INVALID, OVM_NO_SPACE,
 * OVM_PERMISSION_DENIED; leaves no file then.
 */
export async function createOverlay(path: string, virtualSize: number): Promise<void> {
  if (
    !Number.isSafeInteger(virtualSize) ||
    virtualSize <= 0 ||
    virtualSize % 512 !== 0 ||
    virtualSize > MAX_VIRTUAL_SIZE
  )
    throw invalid(path, `cannot have a virtual size of ${virtualSize} bytes`)
  const { clusters, refcountTable, refcountBlock, header } = layout(virtualSize)
  const table = new DataView(new ArrayBuffer(8))
  table.setBigUint64(0, BigInt(refcountBlock * CLUSTER))
  const counts = new DataView(new ArrayBuffer(clusters * 2))
  for (let cluster = 0; cluster < clusters; cluster++) counts.setUint16(cluster * 2, 1)

  // Synchronously: a start waits for it, and these few bytes take less time than their way through the thread pool.
  const fd = guardedSync(() => openSync(path, "wx", 0o600))
  try {
    ftruncateSync(fd, clusters * CLUSTER)
    writeAt(fd, counts, refcountBlock * CLUSTER)
    writeAt(fd, table, refcountTable * CLUSTER)
    writeAt(fd, header, 0)
  } catch (thrown) {
    await rm(path, { force: true })
    throw toOvmError(named(path, thrown))
  } finally {
    closeSync(fd)
  }
}

/**
 * Whether a guest may have written to the file at `path`, if createOverlay has made one there: QEMU makes it larger for
 * that. One that is not whole was nobody's yet. Throws the system's error of one that cannot be read.
 */
export function isWrittenTo(path: string): boolean {
  const fd = openIfPresent(path, constants.O_RDONLY)
  if (fd === undefined) return false
  try {
    const header = new DataView(new ArrayBuffer(HEADER_LENGTH))
    if (readSync(fd, header, 0, HEADER_LENGTH, 0) < HEADER_LENGTH || header.getUint32(0) !== QCOW2_MAGIC)
      return false
    const { clusters } = layout(Number(header.getBigUint64(24)))
    return fstatSync(fd).size > clusters * CLUSTER
  } finally {
    closeSync(fd)
  }
}

function writeAt(fd: number, bytes: DataView, at: number): void {
  for (let done = 0; done < bytes.byteLength; )
    done += writeSync(fd, bytes, done, bytes.byteLength - done, at + done)
}
