import { createHash, type Hash } from "node:crypto"
import { readSync } from "node:fs"
import type { Extent } from "../files/extents.ts"
import { dataFrom } from "../files/sparse.ts"
import { ZEROS } from "../files/zeros.ts"
import { CANCELLED, type HashAnswer, type HashRequest, WRITTEN } from "./hash-protocol.ts"

// The other side of hasher.ts: hashes files in order, as far as they are written, out of the page cache.

declare const self: Worker

interface Job {
  readonly fd: number
  readonly control: BigInt64Array<SharedArrayBuffer>
  readonly hash: Hash
  at: number
  /** What is known to be data; before it, from `at` on, is a hole. */
  data: Extent
  error?: { message: string; code: string | undefined }
}

// Small enough for the second-level cache, large enough that the calls cost nothing.
const buffer = Buffer.allocUnsafeSlow(128 * 1024)
const jobs = new Map<number, Job>()

self.onmessage = ({ data }: MessageEvent<HashRequest>) => {
  if (data.begin) {
    const control = new BigInt64Array(data.begin.control)
    jobs.set(data.id, {
      fd: data.begin.fd,
      control,
      hash: createHash("sha256"),
      at: 0,
      data: { start: 0, end: 0 },
    })
  }
  const job = jobs.get(data.id)
  if (!job) return
  advance(job)
  if (!data.finish) return
  jobs.delete(data.id)
  const { error } = job
  const answer: HashAnswer = error ? { id: data.id, error } : { id: data.id, hex: job.hash.digest("hex") }
  postMessage(answer)
}

function advance(job: Job): void {
  while (!job.error && Atomics.load(job.control, CANCELLED) === 0n) {
    const left = Number(Atomics.load(job.control, WRITTEN)) - job.at
    if (left <= 0) return
    try {
      const chunk = next(job, left)
      if (chunk.byteLength === 0) throw new Error("the file is shorter than what was written to it")
      job.hash.update(chunk)
      job.at += chunk.byteLength
    } catch (error) {
      job.error = { message: String(error), code: (error as NodeJS.ErrnoException).code }
    }
  }
}

/** The next bytes of the file, of which `count` are written. Holes are not read. */
function next(job: Job, count: number): Uint8Array {
  const { fd, at } = job
  const length = Math.min(count, buffer.byteLength)
  if (at >= job.data.end) job.data = dataFrom(fd, at, at + count)
  if (job.data.start - at >= length) return ZEROS.subarray(0, length)
  return buffer.subarray(0, readSync(fd, buffer, 0, length, at))
}
