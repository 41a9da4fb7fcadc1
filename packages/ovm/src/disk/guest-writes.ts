import { type DiskReader, invalid } from "./file.ts"
import type { Lookup } from "./lookup.ts"

/** Of the overlays that this host writes, and of what is made of them. */
export const CLUSTER = 2 ** 16
/** Entries of an L2 table. */
export const PER_TABLE = CLUSTER / 8
/** Clusters that are read together. */
export const AT_ONCE = 8

/** Where so many clusters are to be read to; undefined for memory of their own. */
type Buffers = (count: number) => Buffer<ArrayBuffer> | undefined

/**
 * Two in turns, for whoever reads all and keeps nothing of it; none for fewer clusters than `least`, which whoever
 * writes them takes together.
 */
export function buffers(least = 1): Buffers {
  const one = () => Buffer.allocUnsafeSlow(AT_ONCE * CLUSTER)
  const both = [one(), one()]
  let next = 0
  return (count) => (count < least ? undefined : both[next++ % 2])
}

/** Where the bytes of a cluster are in a file. */
export interface Place {
  readonly disk: DiskReader
  readonly at: number
}

/** Clusters of one L2 table that follow each other there and in their file, and their bytes. */
interface Run {
  readonly entry: number
  readonly bytes: Uint8Array
}

/** What was written to a disk by its guest: overlays, of which each hides what is below it. */
export class GuestWrites {
  readonly #buffers = buffers(AT_ONCE)

  /** The lowest first. Throws OVM_DISK_INVALID for one that has other clusters. */
  constructor(private readonly overlays: readonly Lookup[]) {
    for (const { disk, header } of overlays)
      if (header.clusterSize !== CLUSTER || header.extendedL2)
        throw invalid(disk.path, "has not the clusters of 64 KiB that what a guest writes to has")
  }

  /** Of the disk, in bytes. */
  get size(): number {
    return this.overlays.at(-1)?.header.virtualSize ?? 0
  }

  /** What the L2 tables of that index have together; undefined where there are none. */
  async table(index: number): Promise<WritesTable | undefined> {
    const all = await Promise.all(
      this.overlays.map(async (layer) => ({ layer, table: await layer.table(index) })),
    )
    const found = all.flatMap(({ layer, table }) => (table ? [{ layer, table }] : []))
    return found.length > 0 ? new WritesTable(found.toReversed()) : undefined
  }

  /**
   * The bytes of these clusters of the L2 table of that index, which have some, in order. Those of AT_ONCE clusters may
   * be changed once the next are asked for.
   */
  async *read(index: number, entries: readonly number[]): AsyncGenerator<Uint8Array> {
    if (entries.length === 0) return
    const table = await this.table(index)
    if (!table) throw changed(this.overlays[0]?.disk)
    for await (const { bytes } of table.read(entries, this.#buffers)) yield bytes
  }
}

export class WritesTable {
  /** The highest first. */
  constructor(private readonly tables: readonly { readonly layer: Lookup; readonly table: DataView }[]) {}

  /** Where what was last written to a cluster is; undefined if nothing was. */
  find(entry: number): Place | "zeros" | undefined {
    for (const { layer, table } of this.tables) {
      const found = layer.entry(table, entry)
      if (found.kind === "none") continue
      if (found.kind === "zero") return "zeros"
      if (found.kind !== "data") throw invalid(layer.disk.path, "has compressed clusters")
      return { disk: layer.disk, at: found.at }
    }
    return undefined
  }

  /**
   * The bytes of these clusters, in order: the next are read while the last are used. With `buffers`, into them in
   * turns: what was given is then gone with the second that is asked for.
   */
  async *read(entries: readonly number[], buffers?: Buffers): AsyncGenerator<Run> {
    const runs = this.#runs(entries)
    const begin = (index: number) => {
      const run = runs[index]
      const bytes = run && bytesOf(run.place, run.count, buffers?.(run.count))
      // Whoever leaves off does not wait for it.
      bytes?.catch(() => {})
      return bytes
    }
    let next = begin(0)
    for (const [index, { entry }] of runs.entries()) {
      const bytes = (await next) as Uint8Array
      next = begin(index + 1)
      yield { entry, bytes }
    }
  }

  #runs(entries: readonly number[]) {
    const runs: { readonly entry: number; readonly place: Place; count: number }[] = []
    for (const entry of entries) {
      const place = this.find(entry)
      if (place === undefined || place === "zeros") throw changed(this.tables[0]?.layer.disk)
      const last = runs.at(-1)
      const length = (last?.count ?? 0) * CLUSTER
      const follows = last && entry === last.entry + last.count && place.at === last.place.at + length
      if (follows && place.disk === last.place.disk && last.count < AT_ONCE) last.count++
      else runs.push({ entry, place, count: 1 })
    }
    return runs
  }
}

function changed(disk: DiskReader | undefined) {
  return invalid(disk?.path ?? "an overlay", "has changed while it was read")
}

/** The last cluster of a file may be cut short. */
async function bytesOf(
  { disk, at }: Place,
  count: number,
  buffer?: Buffer<ArrayBuffer>,
): Promise<Uint8Array> {
  const whole = buffer?.subarray(0, count * CLUSTER) ?? new Uint8Array(count * CLUSTER)
  const length = Math.min(whole.length, disk.size - at)
  whole.fill(0, length)
  await disk.read(at, length, "data", whole.subarray(0, length))
  return whole
}
