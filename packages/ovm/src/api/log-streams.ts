import type { Bytes } from "../content/interfaces.ts"
import { OvmError } from "../errors.ts"

/** What one daemon serves at a time of each kind (spec/limits.md). */
const MOST = { following: 128, reading: 128, executing: 128, sandboxes: 64 } as const

type StreamKind = keyof typeof MOST

/**
 * The console streams that a daemon has open, and what else takes long or much. Those that follow and those that only
 * read are counted apart, so that the ones do not use up the others' room (OVMS-LIM-011, OVMS-LIM-022).
 */
export class LogStreams {
  readonly #open = { following: 0, reading: 0, executing: 0, sandboxes: 0 }

  /**
   * `bytes`, counted for as long as they are read. `open` is asked for them only if there is room; throws OVM_TOO_MANY
   * otherwise.
   */
  async stream(kind: StreamKind, open: () => Promise<Bytes>): Promise<Bytes> {
    return this.#counted(await this.work(kind, open), kind)
  }

  /** Does `work`, counted until it is done, if there is room; throws OVM_TOO_MANY otherwise. */
  async work<T>(kind: StreamKind, work: () => Promise<T>): Promise<T> {
    if (this.#open[kind] >= MOST[kind])
      throw new OvmError(
        "OVM_TOO_MANY",
        `${MOST[kind]} requests of this kind (${kind}) are under way, which is the limit`,
        { hint: "ask again once one of them is over" },
      )
    this.#open[kind]++
    try {
      return await work()
    } finally {
      this.#open[kind]--
    }
  }

  async *#counted(bytes: Bytes, kind: StreamKind): Bytes {
    this.#open[kind]++
    try {
      yield* bytes
    } finally {
      this.#open[kind]--
    }
  }
}
