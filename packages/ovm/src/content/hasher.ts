import { availableParallelism } from "node:os"
import { OvmError } from "../errors.ts"
import { workerUrl } from "../host/worker.ts"
import type { Digest } from "./digest.ts"
import { CANCELLED, type HashAnswer, type HashRequest, WRITTEN } from "./hash-protocol.ts"

// Hashing costs as much as receiving, so a thread of its own does it while the next bytes come. It reads what was just
// written out of the page cache, in order, however the writes came (docs/design/0011-transfer.md).

const WORKERS = Math.min(4, Math.max(1, availableParallelism() - 1))

/** The hash of a file that is being written. */
export interface FileHash {
  /** The file's first `count` bytes are written and will not change. */
  written(count: number): void
  /** Of all that was written. To be called once. */
  digest(): Promise<Digest>
  /** Ends without a result; after it the file may be closed. */
  cancel(): Promise<void>
}

/** Hashes the open file `fd` behind its writer. Either `digest` or `cancel` must end it, before the file is closed. */
export function hashBehind(fd: number): FileHash {
  const worker = leastBusy()
  const id = worker.begin()
  const control = new BigInt64Array(new SharedArrayBuffer(2 * BigInt64Array.BYTES_PER_ELEMENT))
  worker.send({ id, begin: { fd, control: control.buffer } })
  return {
    written(count) {
      Atomics.store(control, WRITTEN, BigInt(count))
      worker.send({ id })
    },
    digest: async () => `sha256:${await worker.finish(id)}`,
    async cancel() {
      Atomics.store(control, CANCELLED, 1n)
      await worker.finish(id).catch(() => {})
    },
  }
}

interface Waiting {
  resolve(hex: string): void
  reject(error: unknown): void
}

class HashWorker {
  readonly #worker = new Worker(workerUrl("content/hash-worker.ts"))
  readonly #waiting = new Map<number, Waiting>()
  #next = 0
  #broken: OvmError | undefined
  /** Jobs that have begun and not ended. */
  jobs = 0

  constructor() {
    this.#worker.unref()
    this.#worker.onmessage = ({ data }: MessageEvent<HashAnswer>) => this.#answered(data)
    this.#worker.onerror = (event) => this.#failed(new Error(event.message))
  }

  // The program may not end while a result is wanted, and may while none is.
  begin(): number {
    if (this.jobs++ === 0) this.#worker.ref()
    return this.#next++
  }

  send(request: HashRequest): void {
    this.#worker.postMessage(request)
  }

  finish(id: number): Promise<string> {
    if (this.#broken) return Promise.reject(this.#broken)
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject })
      this.send({ id, finish: true })
    })
  }

  #answered(answer: HashAnswer): void {
    const waiting = this.#waiting.get(answer.id)
    this.#waiting.delete(answer.id)
    if (--this.jobs === 0) this.#worker.unref()
    if ("hex" in answer) waiting?.resolve(answer.hex)
    else waiting?.reject(Object.assign(new Error(answer.error.message), { code: answer.error.code }))
  }

  #failed(cause: Error): void {
    workers.delete(this)
    this.#broken = new OvmError("OVM_INTERNAL", `the hashing thread failed: ${cause.message}`, { cause })
    for (const { reject } of this.#waiting.values()) reject(this.#broken)
    this.#waiting.clear()
  }
}

const workers = new Set<HashWorker>()

function leastBusy(): HashWorker {
  const [best] = [...workers].sort((a, b) => a.jobs - b.jobs)
  if (best && (best.jobs === 0 || workers.size >= WORKERS)) return best
  const worker = new HashWorker()
  workers.add(worker)
  return worker
}
