import { type FileHandle, open, rm } from "node:fs/promises"
import type { Call } from "../content/interfaces.ts"
import { toOvmError } from "../errors.ts"
import { type ChainFile, ChainReader, withLayers } from "./chain-reader.ts"
import { invalid } from "./file.ts"
import { Lookup } from "./lookup.ts"
import { layout } from "./overlay.ts"

const CLUSTER = 2 ** 16
const PER_TABLE = CLUSTER / 8
const TOP = 2 ** 32
/** Of entries that point to a cluster of which this is the only use. */
const COPIED = 0x80000000
const PER_COUNTS = CLUSTER / 2
const ZEROS = Buffer.alloc(CLUSTER)
/** Clusters that are read and written together. */
const AT_ONCE = 16

/**
 * Writes one qcow2 at `into`, which must not exist, that is to `base` what all `overlays` are, the lowest first: with
 * no cluster that `base` has the same, and none of zeros. Overlays have clusters of 64 KiB, as those that this host
 * writes. Throws OVM_DISK_INVALID, OVM_FILE_UNREADABLE, OVM_NO_SPACE, OVM_INTERRUPTED; then there is no file.
 */
export async function writeCompact(
  overlays: readonly string[],
  base: readonly ChainFile[],
  into: string,
  call: Call = {},
): Promise<void> {
  const files = overlays.map((path) => ({ path, format: "qcow2" as const }))
  await withLayers(base, (below) =>
    withLayers(files, async (all) => {
      const above = all.filter((one) => one instanceof Lookup)
      for (const { disk, header } of above)
        if (header.clusterSize !== CLUSTER || header.extendedL2)
          throw invalid(disk.path, "has not the clusters of 64 KiB that what a guest writes to has")
      const file = await open(into, "wx", 0o600)
      try {
        await new Compact(file, above, new ChainReader(below), call).write()
      } catch (thrown) {
        await rm(into, { force: true })
        throw toOvmError(thrown)
      } finally {
        await file.close()
      }
    }),
  )
}

class Compact {
  /** The next free cluster. */
  #next: number
  readonly #l1: DataView
  readonly #size: number
  readonly #head: ReturnType<typeof layout>

  constructor(
    private readonly file: FileHandle,
    private readonly above: readonly Lookup[],
    private readonly below: ChainReader,
    private readonly call: Call,
  ) {
    this.#size = above.at(-1)?.header.virtualSize ?? 0
    this.#head = layout(this.#size)
    this.#next = this.#head.clusters
    this.#l1 = new DataView(new ArrayBuffer(this.#head.l1Entries * 8))
  }

  async write(): Promise<void> {
    for (let index = 0; index < this.#head.l1Entries; index++) {
      this.call.signal?.throwIfAborted()
      const table = await this.#table(index)
      if (table) setEntry(this.#l1, index, COPIED, await this.#append(table))
    }
    const { header, l1Table, refcountTable } = this.#head
    const counts = await this.#counts()
    await this.#writeAt(this.#l1, l1Table * CLUSTER)
    await this.#writeAt(counts, refcountTable * CLUSTER)
    await this.file.truncate(this.#next * CLUSTER)
    await this.#writeAt(header, 0)
  }

  /** The L2 table of that index, its clusters being written; undefined where nothing differs. */
  async #table(index: number): Promise<DataView | undefined> {
    const tables = await Promise.all(this.above.map((one) => one.table(index)))
    if (tables.every((table) => table === undefined)) return undefined
    const made = new DataView(new ArrayBuffer(CLUSTER))
    let used = false
    for (let entry = 0; entry < PER_TABLE; entry += AT_ONCE) {
      const first = index * PER_TABLE + entry
      if (first * CLUSTER >= this.#size) break
      const changed = await Promise.all(
        Array.from({ length: AT_ONCE }, (_, nth) => this.#changed(first + nth)),
      )
      const kept: Buffer[] = []
      for (const [nth, bytes] of changed.entries()) {
        if (!bytes) continue
        used = true
        if (bytes === ZEROS) made.setUint32((entry + nth) * 8 + 4, 1)
        else setEntry(made, entry + nth, COPIED, (this.#next + kept.push(bytes) - 1) * CLUSTER)
      }
      if (kept.length > 0) await this.#append(kept.length === 1 ? (kept[0] as Buffer) : Buffer.concat(kept))
    }
    return used ? made : undefined
  }

  /** The bytes of a cluster that differs from what is below, ZEROS if they are; undefined if it does not. */
  async #changed(cluster: number): Promise<Buffer | undefined> {
    if (cluster * CLUSTER >= this.#size) return undefined
    const found = await this.#newest(cluster)
    if (found === undefined) return undefined
    const bytes = found.equals(ZEROS) ? ZEROS : found
    const under = await this.below.read(cluster * CLUSTER, CLUSTER)
    return under && bytes.equals(under) ? undefined : bytes
  }

  /** What was last written to a cluster; undefined if nothing was. */
  async #newest(cluster: number): Promise<Buffer | undefined> {
    for (const layer of this.above.toReversed()) {
      const found = await layer.find(cluster)
      if (found.kind === "none") continue
      if (found.kind === "zero") return ZEROS
      if (found.kind !== "data") throw invalid(layer.disk.path, "has compressed clusters")
      // The last cluster of a disk may be cut short.
      const length = Math.min(CLUSTER, layer.disk.size - found.at)
      const { buffer } = await layer.disk.read(found.at, length, "data")
      const bytes = length === CLUSTER ? Buffer.from(buffer) : Buffer.concat([Buffer.from(buffer)], CLUSTER)
      return bytes
    }
    return undefined
  }

  /** All refcount blocks, each cluster of the file being used once; gives the table that leads to them. */
  async #counts(): Promise<DataView> {
    const first = this.#next
    // Blocks count themselves, too; the first one has its place.
    let blocks = 1
    while (blocks * PER_COUNTS < first + blocks - 1) blocks++
    const table = new DataView(new ArrayBuffer(CLUSTER))
    const total = first + blocks - 1
    for (let block = 0; block < blocks; block++) {
      const counts = new DataView(new ArrayBuffer(CLUSTER))
      const used = Math.min(PER_COUNTS, total - block * PER_COUNTS)
      for (let one = 0; one < used; one++) counts.setUint16(one * 2, 1)
      const at = this.#head.refcountBlock * CLUSTER
      if (block === 0) await this.#writeAt(counts, at)
      setEntry(table, block, 0, block === 0 ? at : await this.#append(counts))
    }
    return table
  }

  /** Gives the offset of new clusters with these bytes. */
  async #append(bytes: ArrayBufferView): Promise<number> {
    const at = this.#next * CLUSTER
    this.#next += bytes.byteLength / CLUSTER
    await this.#writeAt(bytes, at)
    return at
  }

  async #writeAt({ buffer, byteOffset, byteLength }: ArrayBufferView, at: number): Promise<void> {
    const bytes = new Uint8Array(buffer, byteOffset, byteLength)
    for (let done = 0; done < bytes.length; )
      done += (await this.file.write(bytes, done, bytes.length - done, at + done)).bytesWritten
  }
}

function setEntry(table: DataView, index: number, flags: number, at: number): void {
  table.setUint32(index * 8, (flags | Math.floor(at / TOP)) >>> 0)
  table.setUint32(index * 8 + 4, at % TOP)
}
