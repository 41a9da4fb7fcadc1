import { randomUUID } from "node:crypto"
import type { InstanceInfo, Runtime } from "../runtime/interfaces.ts"
import { Keys } from "./keys.ts"
import { printBytes, printError } from "./output.ts"
import { rawKeys } from "./terminal/raw.ts"

/** The most that one request takes (spec/limits.md). */
const MOST = 32 << 10
/** What waits for a guest that does not read; more than a person types. */
const PATIENCE = 1 << 20

export interface SessionOptions {
  /** Lines of what there was before; all of it unless given. */
  readonly tail?: number
  /** Leaves the machine running. */
  readonly left: AbortController
  /** Somebody wants it to end, and the next time more so. */
  readonly stop: () => void
}

/**
 * Joins this terminal and a machine's console until that ends, or until `left` is aborted, which Ctrl-P Ctrl-Q does.
 * The terminal is as it was afterwards. Throws what attaching throws.
 */
export async function attachTerminal(
  runtime: Runtime,
  { instance_id, name }: InstanceInfo,
  { tail, left, stop }: SessionOptions,
): Promise<void> {
  const { signal } = left
  const attachment = randomUUID()
  const console = await runtime.attach(instance_id, {
    attachment,
    signal,
    ...(tail !== undefined && { tail }),
  })
  printError(`Attached to ${name}: Ctrl-P Ctrl-Q detaches and leaves it running, Ctrl-C twice stops it.\n`)
  const typed = new Typed((bytes) => runtime.type(instance_id, { attachment, bytes, signal }))
  const detach = () => left.abort()
  const keys = new Keys({ send: (bytes) => typed.add(bytes), detach, stop })
  using _ = rawKeys((bytes) => keys.press(bytes), detach)
  try {
    for await (const bytes of console) await printBytes(bytes)
  } catch (thrown) {
    if (!signal.aborted) throw thrown
  }
}

/** What a person leaves behind who detached. */
export function tellDetached(name: string): void {
  printError(`\nDetached from ${name}, which goes on running: ovm attach ${name}\n`)
}

/** Keys on their way: one request at a time, with all that came meanwhile in the next. */
class Typed {
  #waiting: Uint8Array[] = []
  #size = 0
  #sending = false

  constructor(private readonly send: (bytes: Uint8Array) => Promise<void>) {}

  add(bytes: Uint8Array): void {
    if (this.#size > PATIENCE) return
    this.#waiting.push(bytes)
    this.#size += bytes.length
    if (!this.#sending) void this.#sendAll()
  }

  async #sendAll(): Promise<void> {
    this.#sending = true
    while (this.#size > 0) {
      const all = Buffer.concat(this.#waiting)
      this.#waiting = all.length > MOST ? [all.subarray(MOST)] : []
      this.#size = Math.max(0, all.length - MOST)
      // Of a machine that has ended, and a daemon that has gone, the console tells.
      await this.send(all.subarray(0, MOST)).catch(() => {})
    }
    this.#sending = false
  }
}
