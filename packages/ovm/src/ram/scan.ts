import { open } from "node:fs/promises"
import type { Call } from "../content/interfaces.ts"
import { guarded } from "../files/guarded.ts"
import { chunkRuns } from "./extents.ts"
import { CHUNK } from "./format.ts"
import { Pool } from "./pool.ts"
import { findSecrets, SECRET_KINDS } from "./secrets.ts"
import type { ScanTask } from "./tasks.ts"

/** Of one kind: how many there are, and where the first of them begin, in bytes of RAM. Never what was found. */
export interface SecretFinding {
  readonly kind: string
  readonly count: number
  readonly offsets: readonly number[]
}

const BATCH = 4
const WINDOW = 64
/** As many places as a report may tell (OVMS-SNP-029). */
const PLACES = 16

/**
 * Looks for secrets in the sparse RAM file `path`, a whole number of chunks, on all processors and in memory that does
 * not depend on its size (OVMS-SNP-099), and in the short text `beside` it, where none has a place (OVMS-SNP-134).
 * Holes are not read. Throws OVM_FILE_UNREADABLE, OVM_INTERRUPTED.
 */
export function scanRam(
  path: string,
  { beside = "", signal }: Call & { readonly beside?: string } = {},
): Promise<readonly SecretFinding[]> {
  return guarded(async () => {
    await using file = await open(path, "r")
    const { size } = await file.stat()
    const counts = SECRET_KINDS.map(() => 0)
    const text = Buffer.from(beside)
    findSecrets(text, 0, text.length, (kind) => {
      counts[kind] = (counts[kind] ?? 0) + 1
    })
    const places: number[][] = SECRET_KINDS.map(() => [])
    await using pool = new Pool()
    const isTask = (_: ScanTask): _ is ScanTask => true
    for await (const { result } of pool.inOrder(tasksOf(file.fd, size), isTask, WINDOW)) {
      signal?.throwIfAborted()
      for (const { kind, count, offsets } of result?.found ?? []) {
        counts[kind] = (counts[kind] ?? 0) + count
        places[kind]?.push(...offsets)
      }
    }
    const all = SECRET_KINDS.map((kind, index) => ({
      kind,
      count: counts[index] ?? 0,
      offsets: (places[index] ?? []).slice(0, PLACES),
    }))
    return all.filter(({ count }) => count > 0)
  })
}

function* tasksOf(from: number, size: number): Generator<ScanTask> {
  for (const { first, count, hole } of chunkRuns(from, size, BATCH))
    if (!hole) yield { kind: "scan", from, at: first * CHUNK, length: count * CHUNK, places: PLACES }
}
