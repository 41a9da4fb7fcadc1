import { type FileHandle, open, rm } from "node:fs/promises"
import type { Digest } from "../content/digest.ts"
import { digestMismatch, sizeMismatch } from "../content/verify.ts"
import { OvmError } from "../errors.ts"
import { guarded } from "../files/guarded.ts"
import { writing } from "../files/writing.ts"
import { CHUNK } from "./format.ts"
import type { InflateOptions } from "./inflate-options.ts"
import { MemoryDigest } from "./memory-digest.ts"
import { inflatePlain } from "./plain.ts"
import { Pool } from "./pool.ts"
import { type RamFacts, RamTable } from "./table.ts"
import type { InflateTask } from "./tasks.ts"

/** Frames a task. */
const BATCH = 4
/** Tasks under way: their results are small. */
const WINDOW = 64

/**
 * Inflates the blob in the file `path` into the sparse file `into`, verified as spec/snapshot.md ("Order of
 * verification") has it; also blobs of the plain tools. Memory does not depend on any size, and no byte beyond `size`
 * is ever written. Nothing is left at `into` if it fails. Gives the memory digest. Throws OVM_SNAPSHOT_INVALID (table),
 * OVM_RAM_INVALID, OVM_DIGEST_MISMATCH, OVM_SIZE_MISMATCH, OVM_NO_SPACE, OVM_INTERRUPTED.
 */
export function inflateRam(path: string, options: InflateOptions): Promise<Digest> {
  return guarded(async () => {
    const { into, size, table, blobSize } = options
    if (size <= 0 || size % CHUNK !== 0)
      throw new OvmError("OVM_RAM_INVALID", `RAM of ${size} bytes is not a multiple of ${CHUNK}`)
    const frames = table && new RamTable(table, options)
    await using source = await open(path, "r")
    const found = (await source.stat()).size
    if (found !== blobSize) throw sizeMismatch({ digest: options.ref, size: blobSize }, `${found}`, path)
    if (frames && frames.blobSize !== blobSize)
      throw sizeMismatch({ digest: options.ref, size: blobSize }, `${frames.blobSize}`, "the table of frames")
    await using target = await open(into, "wx", 0o600)
    try {
      await writing(into, () => target.truncate(size))
      const digest = frames
        ? await inflateFrames(source, target, frames, options)
        : await inflatePlain(path, source.fd, target, options)
      if (options.digest !== undefined && digest !== options.digest)
        throw digestMismatch({ digest: options.digest, size }, digest, "the memory digest of the RAM")
      return digest
    } catch (error) {
      await rm(into, { force: true })
      throw error
    }
  })
}

async function inflateFrames(
  source: FileHandle,
  target: FileHandle,
  table: RamTable,
  { compression, signal, onBytes }: InflateOptions,
): Promise<Digest> {
  const memory = new MemoryDigest()
  await using pool = new Pool()
  const tasks = tasksOf(source.fd, target.fd, table, compression)
  const isTask = (item: InflateTask): item is InflateTask => item.kind === "inflate"
  for await (const { item, result } of pool.inOrder(tasks, isTask, WINDOW)) {
    signal?.throwIfAborted()
    if (result) memory.add(result.chunkDigests)
    onBytes?.((item.first + item.sizes.length) * CHUNK)
  }
  return memory.digest()
}

function* tasksOf(
  from: number,
  to: number,
  table: RamTable,
  compression: RamFacts["compression"],
): Generator<InflateTask> {
  let at = 0
  for (let first = 0; first < table.count; first += BATCH) {
    const count = Math.min(BATCH, table.count - first)
    const frames = Array.from({ length: count }, (_, index) => table.frame(first + index))
    const sizes = frames.map(({ size }) => size)
    const zero = frames.map((frame) => frame.zero)
    const digests = Buffer.concat(frames.map(({ digest }) => digest))
    yield { kind: "inflate", from, at, to, first, compression, sizes, zero, digests }
    at += sizes.reduce((sum, size) => sum + size, 0)
  }
}
