import { setImmediate } from "node:timers/promises"
import type { Call } from "../content/interfaces.ts"
import { toOvmError } from "../errors.ts"
import { ahead } from "../files/ahead.ts"
import { dataFrom } from "../files/sparse.ts"
import { isZero } from "../files/zeros.ts"
import { type ChainFile, withLayers } from "./chain-reader.ts"
import { BYTES, type Differing } from "./differing.ts"
import { type DiskReader, invalid } from "./file.ts"
import { GLANCE, Glances } from "./glances.ts"
import { AT_ONCE, CLUSTER, PER_TABLE } from "./guest-writes.ts"
import { inspectDisk } from "./inspect.ts"
import { Lookup } from "./lookup.ts"
import type { ClusterBytes } from "./streamed.ts"

/** Where clusters of an L2 table are in the file, by entry; below zero for those that are not there. */
type Places = Float64Array

/** Readings that are under way at a time: the processors are often others', and each change between threads waits. */
const AHEAD = 4
/** Of what was read, so many stay as they are. */
export const KEPT = 6
/** So many clusters are looked at before others have their turn. */
const LOOKS = 256

/** A disk all of whose bytes are in one file as they are: raw, or a qcow2 that isPlainQcow2 knows. */
export class PlainDisk implements ClusterBytes {
  readonly #buffers: Buffer<ArrayBuffer>[] = []
  readonly #whole = Buffer.allocUnsafeSlow(CLUSTER)
  #next = 0

  private constructor(
    private readonly disk: DiskReader,
    readonly size: number,
    private readonly places: (index: number) => Promise<Places | undefined>,
  ) {}

  static of(layer: DiskReader | Lookup): PlainDisk {
    if (layer instanceof Lookup)
      return new PlainDisk(layer.disk, layer.header.virtualSize, (index) => placesIn(layer, index))
    return new PlainDisk(layer, layer.size, async (index) => placesOf(layer, index))
  }

  /** Which clusters are not all zero. Throws OVM_DISK_INVALID for more than `most` bytes of those. */
  async filled(most: number, call: Call): Promise<Differing> {
    const found = new Map<number, Uint8Array>()
    const glances = new Glances()
    let [bytes, looks] = [0, 0]
    for (let index = 0; index * PER_TABLE * CLUSTER < this.size; index++) {
      const places = await this.places(index)
      if (!places) continue
      const kinds = new Uint8Array(PER_TABLE)
      for (const [entry, place] of places.entries()) {
        if (place < 0) continue
        if (looks++ % LOOKS === 0) {
          // What a signal calls has its turn.
          await setImmediate()
          call.signal?.throwIfAborted()
        }
        const length = this.#lengthOf(index * PER_TABLE + entry)
        const glance = glances.at(this.disk, place, Math.min(GLANCE, length))
        if (isZero(glance) && (await this.#isZero(place, length))) continue
        kinds[entry] = BYTES
        bytes += CLUSTER
      }
      if (bytes > most) throw invalid(this.disk.path, `has more than ${most} bytes that are not zero`)
      if (kinds.includes(BYTES)) found.set(index, kinds)
    }
    return found
  }

  async #isZero(place: number, length: number): Promise<boolean> {
    const bytes = this.#whole.subarray(0, length)
    await this.disk.read(place, length, "data", bytes)
    return isZero(bytes)
  }

  /** Of a cluster: what is behind the end of the disk is not its. */
  #lengthOf(cluster: number): number {
    return Math.min(CLUSTER, this.size - cluster * CLUSTER)
  }

  /** What was given may be changed once `KEPT` more were asked for: memory that was just used is still at hand. */
  async *read(index: number, entries: readonly number[]): AsyncGenerator<Uint8Array> {
    const places = (await this.places(index)) ?? new Float64Array(PER_TABLE).fill(-1)
    yield* ahead(runsOf(entries, places), AHEAD, (run) =>
      this.#run(index, run, { places, into: this.#bufferFor(run) }),
    )
  }

  #bufferFor({ count }: Run): Buffer<ArrayBuffer> {
    // Smaller ones are taken together by whoever writes them, and there are more of them then.
    if (count < AT_ONCE) return Buffer.allocUnsafeSlow(count * CLUSTER)
    this.#next = (this.#next + 1) % (KEPT + AHEAD)
    const buffer = this.#buffers[this.#next] ?? Buffer.allocUnsafeSlow(AT_ONCE * CLUSTER)
    this.#buffers[this.#next] = buffer
    return buffer
  }

  async #run(
    index: number,
    { entry, count }: Run,
    { places, into: bytes }: { readonly places: Places; readonly into: Buffer<ArrayBuffer> },
  ): Promise<Uint8Array> {
    const last = index * PER_TABLE + entry + count - 1
    const length = (count - 1) * CLUSTER + this.#lengthOf(last)
    bytes.fill(0, length)
    await this.disk.read(places[entry] ?? -1, length, "data", bytes.subarray(0, length))
    return bytes
  }
}

/** Clusters that follow each other on the disk and in the file. */
interface Run {
  readonly entry: number
  count: number
}

function runsOf(entries: readonly number[], places: Places): Run[] {
  const runs: Run[] = []
  for (const entry of entries) {
    const last = runs.at(-1)
    const follows =
      last && entry === last.entry + last.count && places[entry] === (places[entry - 1] ?? 0) + CLUSTER
    if (follows && last.count < AT_ONCE) last.count++
    else runs.push({ entry, count: 1 })
  }
  return runs
}

async function placesIn(layer: Lookup, index: number): Promise<Places | undefined> {
  const table = await layer.table(index)
  if (!table) return undefined
  const clusters = Math.ceil(layer.header.virtualSize / CLUSTER)
  const places = new Float64Array(Math.min(PER_TABLE, clusters - index * PER_TABLE)).fill(-1)
  for (const entry of places.keys()) {
    const found = layer.entry(table, entry)
    if (found.kind === "data") places[entry] = found.at
    else if (found.kind === "packed" || found.kind === "strange")
      throw invalid(layer.disk.path, "has changed while it was read")
  }
  return places
}

function placesOf({ fd, size }: DiskReader, index: number): Places | undefined {
  const from = index * PER_TABLE * CLUSTER
  const end = Math.min(size, from + PER_TABLE * CLUSTER)
  let places: Places | undefined
  for (let data = dataFrom(fd, from, size); data.start < end; data = dataFrom(fd, data.end, size)) {
    places ??= new Float64Array(Math.ceil((end - from) / CLUSTER)).fill(-1)
    const first = Math.floor((data.start - from) / CLUSTER)
    for (let entry = first; entry * CLUSTER < Math.min(data.end, end) - from; entry++)
      places[entry] = from + entry * CLUSTER
    if (data.end >= end) break
  }
  return places
}

/** Opens a disk for the time that `use` takes. Throws as withDisk does. */
export async function withPlain<T>(file: ChainFile, use: (disk: PlainDisk) => Promise<T>): Promise<T> {
  return await withLayers([file], ([layer]) => use(PlainDisk.of(layer as DiskReader | Lookup)))
}

/**
 * Whether the disk is a qcow2 that a PlainDisk can be of: with clusters of 64 KiB, none of them compressed, and no
 * fault that inspectDisk would find. Of another one somebody else has to make such a disk.
 */
export async function isPlainQcow2(path: string, call: Call): Promise<boolean> {
  try {
    const { qcow2 } = await inspectDisk(path, { format: "qcow2", role: "base", ...call })
    return qcow2?.clusterSize === CLUSTER && qcow2.compressedClusters === 0 && !qcow2.extendedL2
  } catch (thrown) {
    if (toOvmError(thrown).code === "OVM_DISK_INVALID") return false
    throw thrown
  }
}
