import { closeSync, openSync } from "node:fs"
import { rm } from "node:fs/promises"
import { toOvmError } from "../errors.ts"
import { guardedSync } from "../files/guarded.ts"
import { named, writeNow } from "../files/writing.ts"
import { isZero } from "../files/zeros.ts"
import { CLUSTER } from "./guest-writes.ts"
import { layout } from "./overlay.ts"
import { COPIED, counts, setEntry } from "./written.ts"

const PER_TABLE = CLUSTER / 8
/** Bytes that are written at once, a whole number of clusters. */
const BATCH = 8 * CLUSTER

/**
 * Makes the new file `path` a qcow2 of `size` bytes with what `fill` writes, and no cluster that is all zero. The same
 * writes give the same bytes. Leaves no file where it fails. Throws what `fill` throws, OVM_NO_SPACE.
 */
export async function writeQcow2(
  path: string,
  size: number,
  fill: (disk: NewDisk) => Promise<void>,
): Promise<void> {
  const fd = guardedSync(() => openSync(path, "wx", 0o600))
  try {
    const disk = new NewDisk({ fd, path }, size)
    await fill(disk)
    disk.finish()
  } catch (thrown) {
    await rm(path, { force: true })
    throw toOvmError(thrown)
  } finally {
    closeSync(fd)
  }
}

/** A disk that is being written: in any order, no byte twice. */
export class NewDisk {
  readonly #head: ReturnType<typeof layout>
  readonly #clusters = new Map<number, number>()
  readonly #batch = Buffer.alloc(BATCH)
  /** Where on the disk the batch begins, and what of it there is. */
  #from = 0
  #start = 0
  #filled = 0
  #end: number

  constructor(
    private readonly file: { readonly fd: number; readonly path: string },
    size: number,
  ) {
    this.#head = layout(size)
    this.#end = this.#head.clusters
  }

  /** Puts `bytes` at byte `at`; what follows what came before costs least. */
  write(at: number, bytes: Uint8Array): void {
    for (let done = 0; done < bytes.byteLength; ) {
      const within = at + done - this.#from
      if (within !== this.#filled || within >= BATCH) {
        this.#flush()
        this.#from = Math.floor((at + done) / CLUSTER) * CLUSTER
        this.#start = this.#filled = at + done - this.#from
        continue
      }
      const piece = bytes.subarray(done, done + BATCH - within)
      this.#batch.set(piece, within)
      this.#filled = within + piece.byteLength
      done += piece.byteLength
    }
  }

  /** What lies behind each other in the file, too, goes into one write. */
  #flush(): void {
    let run = { at: 0, from: 0, to: 0 }
    for (let from = this.#start; from < this.#filled; ) {
      const to = Math.min((Math.floor(from / CLUSTER) + 1) * CLUSTER, this.#filled)
      const at = isZero(this.#batch, from, to) ? undefined : this.#place(this.#from + from)
      if (at === undefined || run.to !== from || run.at + (run.to - run.from) !== at) {
        this.#put(run)
        run = { at: at ?? 0, from, to: at === undefined ? from : to }
      } else run.to = to
      from = to
    }
    this.#put(run)
    this.#batch.fill(0, 0, this.#filled)
    this.#start = this.#filled = 0
  }

  /** Where byte `at` of the disk is in the file. */
  #place(at: number): number {
    const index = Math.floor(at / CLUSTER)
    const cluster = this.#clusters.get(index) ?? this.#end++
    this.#clusters.set(index, cluster)
    return cluster * CLUSTER + (at % CLUSTER)
  }

  #put({ at, from, to }: { readonly at: number; readonly from: number; readonly to: number }): void {
    if (to > from) this.#store(this.#batch.subarray(from, to), at)
  }

  #store(bytes: Uint8Array, at: number): void {
    const { fd, path } = this.file
    try {
      writeNow(fd, bytes, at)
    } catch (thrown) {
      throw named(path, thrown)
    }
  }

  /** Writes what leads to the clusters. */
  finish(): void {
    this.#flush()
    const { header, refcountTable, refcountBlock, l1Table, clusters } = this.#head
    const l1 = new DataView(new ArrayBuffer((clusters - l1Table) * CLUSTER))
    const tables = new Map<number, DataView>()
    for (const [index, cluster] of this.#clusters) {
      const at = Math.floor(index / PER_TABLE)
      const table = tables.get(at) ?? new DataView(new ArrayBuffer(CLUSTER))
      tables.set(at, table)
      setEntry(table, index % PER_TABLE, COPIED, cluster * CLUSTER)
    }
    for (const [at, table] of tables) {
      setEntry(l1, at, COPIED, this.#end * CLUSTER)
      this.#table(table, this.#end++)
    }
    const { table, blocks } = counts(refcountBlock, this.#end)
    for (const [index, block] of blocks.entries())
      this.#table(block, index === 0 ? refcountBlock : this.#end + index - 1)
    this.#table(l1, l1Table)
    this.#table(table, refcountTable)
    this.#table(header, 0)
  }

  #table({ buffer }: DataView, cluster: number): void {
    this.#store(new Uint8Array(buffer as ArrayBuffer), cluster * CLUSTER)
  }
}
