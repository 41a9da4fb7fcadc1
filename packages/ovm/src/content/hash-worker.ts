import { createHash, type Hash } from "node:crypto"
import { readSync } from "node:fs"
import { CANCELLED, type HashAnswer, type HashRequest, WRITTEN } from "./hash-protocol.ts"

// The other side of hasher.ts: hashes files in order, as far as they are written, out of the page cache.

declare const self: Worker

interface Job {
  readonly fd: number
  readonly control: BigInt64Array<SharedArrayBuffer>
  readonly hash: Hash
  at: number
  error?: { message: string; code: string | undefined }
}

// Small enough for the second-level cache, large enough that the calls cost nothing.
const buffer = Buffer.allocUnsafeSlow(128 * 1024)
const jobs = new Map<number, Job>()

self.onmessage = ({ data }: MessageEvent<HashRequest>) => {
  if (data.begin) {
    const control = new BigInt64Array(data.begin.control)
    jobs.set(data.id, { fd: data.begin.fd, control, hash: createHash("sha256"), at: 0 })
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
      const count = readSync(job.fd, buffer, 0, Math.min(left, buffer.byteLength), job.at)
      if (count === 0) throw new Error("the file is shorter than what was written to it")
      job.hash.update(buffer.subarray(0, count))
      job.at += count
    } catch (error) {
      job.error = { message: String(error), code: (error as NodeJS.ErrnoException).code }
    }
  }
}
