import type { Bytes } from "../content/interfaces.ts"
import { OvmError } from "../errors.ts"

/** Console streams of each kind that one daemon serves at a time (spec/limits.md). */
const MOST = 128

type StreamKind = "following" | "reading" | "executing"

/**
 * The console streams that a daemon has open. Those that follow and those that only read are counted apart, so that the
 * ones do not use up the others' room (OVMS-LIM-011, OVMS-LIM-022).
 */
export class LogStreams {
  readonly #open = { following: 0, reading: 0, executing: 0 }

  /**
   * `bytes`, counted for as long as they are read. `open` is asked for them only if there is room; throws OVM_TOO_MANY
   * otherwise.
   */
  async stream(kind: StreamKind, open: () => Promise<Bytes>): Promise<Bytes> {
    if (this.#open[kind] >= MOST)
      throw new OvmError("OVM_TOO_MANY", `${MOST} log streams are open (${kind}), which is the limit`)
    return this.#counted(await open(), kind)
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
