import { createHash } from "node:crypto"
import { type FileHandle, open, rm } from "node:fs/promises"
import type { Digest } from "../content/digest.ts"
import type { Call } from "../content/interfaces.ts"
import { OvmError } from "../errors.ts"
import { guarded } from "../files/guarded.ts"
import { zeroChunk } from "./chunk.ts"
import { codecFor } from "./codec.ts"
import { type ChunkRun, chunkRuns } from "./extents.ts"
import { CHUNK, type RamCompression } from "./format.ts"
import { MemoryDigest, sha256Of } from "./memory-digest.ts"
import { Pool } from "./pool.ts"
import { type Frame, writeTable } from "./table.ts"
import type { Compressed, CompressTask } from "./tasks.ts"

export interface CompressOptions extends Call {
  /** Where the compressed RAM goes: a file that is not there yet. */
  readonly into: string
  /** zstd unless told. */
  readonly compression?: RamCompression
  /** Of Zstandard; 3 unless told. LZ4 has one level. */
  readonly level?: number
  /** Told how many bytes of RAM are done. */
  readonly onBytes?: (done: number) => void
}

export interface CompressedRam {
  /** Of the file `into`. */
  readonly path: string
  readonly blob: { readonly digest: Digest; readonly size: number }
  readonly compression: RamCompression
  /** The table of frames, a layer of its own. */
  readonly table: Uint8Array
  /** The memory digest (OVMS-SNP-023). */
  readonly digest: Digest
  /** Bytes of RAM. */
  readonly size: number
  /** Of `size` / 262144. */
  readonly zeroChunks: number
}

/** Chunks a task: large enough that handing over costs nothing, small enough to be bounded memory. */
const BATCH = 4

/**
 * Compresses the sparse RAM file `path`, which nobody may write to meanwhile, as spec/snapshot.md ("RAM on the wire")
 * has it: one frame for each 256 KiB, on all processors, in memory that does not depend on the size. Holes are not even
 * read. Nothing is left at `into` if it fails. Throws OVM_FILE_UNREADABLE, OVM_RAM_INVALID (not a multiple of 256 KiB),
 * OVM_NO_SPACE, OVM_INTERRUPTED.
 */
export function compressRam(path: string, options: CompressOptions): Promise<CompressedRam> {
  return guarded(async () => {
    await using source = await open(path, "r")
    const { size } = await source.stat()
    if (size === 0 || size % CHUNK !== 0)
      throw new OvmError("OVM_RAM_INVALID", `${path} has ${size} bytes, not a multiple of ${CHUNK}`)
    // Readable by its owner alone: RAM is confidential (OVMS-SNP-095).
    await using target = await open(options.into, "wx", 0o600)
    try {
      return await compressInto(source, target, size, options)
    } catch (error) {
      await rm(options.into, { force: true })
      throw error
    }
  })
}

async function compressInto(
  source: FileHandle,
  target: FileHandle,
  size: number,
  { into, compression = "zstd", level = 3, signal, onBytes }: CompressOptions,
): Promise<CompressedRam> {
  const codec = await codecFor(compression)
  const zeros = compressedZeros(codec.compress(zeroChunk, level))
  const frames: Frame[] = []
  const memory = new MemoryDigest()
  const hash = createHash("sha256")
  let written = 0

  const add = async (part: Compressed) => {
    for (const [index, frameSize] of part.sizes.entries()) {
      const digest = part.digests.slice(32 * index, 32 * index + 32)
      frames.push({ size: frameSize, zero: part.zero[index] ?? false, digest })
    }
    memory.add(part.chunkDigests)
    hash.update(part.frames)
    for (let done = 0; done < part.frames.byteLength; )
      done += (await target.write(part.frames, done, part.frames.byteLength - done, written + done))
        .bytesWritten
    written += part.frames.byteLength
  }

  await using pool = new Pool()
  const tasks = tasksOf(source.fd, size, compression, level)
  for await (const { item, result } of pool.inOrder(tasks, isTask, 4 * pool.size)) {
    signal?.throwIfAborted()
    if (result) await add(result)
    else for (let i = 0; i < item.count; i++) await add(zeros)
    onBytes?.(frames.length * CHUNK)
  }
  const blob = { digest: `sha256:${hash.digest("hex")}` as const, size: written }
  const table = writeTable({ ref: blob.digest, compression, size }, frames)
  const zeroChunks = frames.filter(({ zero }) => zero).length
  return { path: into, blob, compression, table, digest: memory.digest(), size, zeroChunks }
}

function* tasksOf(
  from: number,
  size: number,
  compression: RamCompression,
  level: number,
): Generator<CompressTask | ChunkRun> {
  for (const run of chunkRuns(from, size, BATCH))
    yield run.hole ? run : { kind: "compress", from, first: run.first, count: run.count, compression, level }
}

function isTask(item: CompressTask | ChunkRun): item is CompressTask {
  return "kind" in item
}

function compressedZeros(frame: Uint8Array): Compressed {
  return {
    frames: frame,
    sizes: [frame.byteLength],
    zero: [true],
    digests: sha256Of(frame),
    chunkDigests: sha256Of(zeroChunk),
  }
}
