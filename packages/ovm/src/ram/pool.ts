import { availableParallelism } from "node:os"
import { OvmError } from "../errors.ts"
import { workerUrl } from "../host/worker.ts"
import type { ResultOf, Task, TaskAnswer, TaskRequest } from "./tasks.ts"

// Threads for one compression or inflation, ended with it: a daemon that waits should not hold their memory.

const MOST = 8

interface Waiting {
  resolve(result: never): void
  reject(error: unknown): void
}

interface Thread {
  readonly worker: Worker
  /** Tasks that were sent and not answered. */
  busy: number
}

/** Tasks that a thread is sent ahead, so that it need not wait for this one. */
const AHEAD = 2

export class Pool implements AsyncDisposable {
  readonly #threads: readonly Thread[]
  readonly #waiting = new Map<number, Waiting>()
  readonly #running = new Set<Promise<unknown>>()
  readonly #backlog: TaskRequest[] = []
  #next = 0

  constructor(readonly size = Math.min(MOST, availableParallelism())) {
    this.#threads = Array.from({ length: size }, () => this.#start())
  }

  /** Whichever thread is free takes it. Throws what the worker threw. */
  run<T extends Task>(task: T): Promise<ResultOf<T>> {
    const id = this.#next++
    const done = new Promise<ResultOf<T>>((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject })
      this.#backlog.push({ id, task })
      this.#send()
    })
    const settled = done.then(
      () => {},
      () => {},
    )
    this.#running.add(settled)
    void settled.then(() => this.#running.delete(settled))
    return done
  }

  /**
   * The results in the order of `tasks`, of which `most` are under way or waited for at a time: memory is bounded by
   * that.
   */
  async *inOrder<T extends Task, Other>(
    tasks: Iterable<T | Other>,
    isTask: (item: T | Other) => item is T,
    most: number,
  ): AsyncGenerator<{ readonly item: T | Other; readonly result: ResultOf<T> | undefined }> {
    const queue: { item: T | Other; result: Promise<ResultOf<T> | undefined> }[] = []
    for (const item of tasks) {
      const result = isTask(item) ? this.run(item) : Promise.resolve(undefined)
      // One that fails is waited for later, or never.
      result.catch(() => {})
      queue.push({ item, result })
      if (queue.length >= most) yield* next(queue)
    }
    while (queue.length > 0) yield* next(queue)
  }

  #send(): void {
    while (this.#backlog.length > 0) {
      const [free] = this.#threads.toSorted((a, b) => a.busy - b.busy)
      if (!free || free.busy >= AHEAD) return
      free.busy++
      free.worker.postMessage(this.#backlog.shift())
    }
  }

  #start(): Thread {
    const thread = { worker: new Worker(workerUrl("ram/worker.ts")), busy: 0 }
    thread.worker.onmessage = ({ data }: MessageEvent<TaskAnswer>) => {
      thread.busy--
      this.#send()
      const waiting = this.#waiting.get(data.id)
      this.#waiting.delete(data.id)
      if ("result" in data) waiting?.resolve(data.result as never)
      else waiting?.reject(new OvmError(data.error.code, data.error.message, { detail: data.error.detail }))
    }
    thread.worker.onerror = ({ message }) => {
      const error = new OvmError("OVM_INTERNAL", `a thread for RAM failed: ${message}`)
      for (const { reject } of this.#waiting.values()) reject(error)
      this.#waiting.clear()
      this.#backlog.length = 0
    }
    return thread
  }

  /** Waits for what is under way: it reads and writes files that the caller is about to close. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const { id } of this.#backlog.splice(0))
      this.#waiting.get(id)?.reject(new OvmError("OVM_INTERRUPTED", "interrupted"))
    await Promise.all(this.#running)
    for (const { worker } of this.#threads) worker.terminate()
  }
}

async function* next<Item, Result>(queue: { item: Item; result: Promise<Result> }[]) {
  const first = queue.shift()
  if (first) yield { item: first.item, result: await first.result }
}
