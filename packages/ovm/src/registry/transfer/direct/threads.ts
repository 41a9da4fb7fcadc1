import { OvmError } from "../../../errors.ts"
import { workerUrl } from "../../../host/worker.ts"
import type { Job, Order, Outcome, Report } from "./protocol.ts"

// A gigabyte through `fetch` is copied twice and cut into thousands of chunks, each of which wakes the main thread.
// Where a blob takes neither a proxy nor a mirror, threads of our own take it from their connections to the file
// (docs/design/0011-transfer.md).

/** More connections than this are served in the usual way. */
const THREADS = 8

export interface Events {
  onHead(tag: string | null, warning: string | null): void
  /** The file is written up to byte `at`. */
  onWritten(at: number): void
}

/**
 * Has `job` done by a thread that has nothing to do; undefined if there is none. Once it is settled nothing writes any
 * more.
 */
export function moveDirectly(job: Job, events: Events, signal?: AbortSignal): Promise<Outcome> | undefined {
  return idleThread()?.run(job, events, signal)
}

class Thread {
  readonly #worker = new Worker(workerUrl("registry/transfer/direct/thread.ts"))
  #events: Events | undefined
  #settled: PromiseWithResolvers<Outcome> | undefined

  constructor() {
    this.#worker.unref()
    this.#worker.onmessage = ({ data }: MessageEvent<Report>) => this.#reported(data)
    this.#worker.onerror = (event) => {
      threads.delete(this)
      this.#settled?.reject(new OvmError("OVM_INTERNAL", `a receiving thread failed: ${event.message}`))
    }
  }

  get busy(): boolean {
    return this.#settled !== undefined
  }

  async run(job: Job, events: Events, signal?: AbortSignal): Promise<Outcome> {
    const cancel = () => this.#order("cancel")
    const settled = Promise.withResolvers<Outcome>()
    this.#settled = settled
    this.#events = events
    // The program may not end while there is something to do, and may while there is not.
    this.#worker.ref()
    signal?.addEventListener("abort", cancel, { once: true })
    try {
      this.#order(job)
      if (signal?.aborted) cancel()
      return await settled.promise
    } finally {
      signal?.removeEventListener("abort", cancel)
      this.#worker.unref()
      this.#settled = undefined
    }
  }

  #order(order: Order): void {
    this.#worker.postMessage(order)
  }

  #reported(report: Report): void {
    if (report.kind === "head") this.#events?.onHead(report.tag, report.warning)
    else if (report.kind === "written") this.#events?.onWritten(report.at)
    else this.#settled?.resolve(report)
  }
}

const threads = new Set<Thread>()

function idleThread(): Thread | undefined {
  const idle = [...threads].find(({ busy }) => !busy)
  if (idle || threads.size >= THREADS) return idle
  const thread = new Thread()
  threads.add(thread)
  return thread
}
