import type { Digest } from "../content/digest.ts"
import type { Call } from "../content/interfaces.ts"
import type { RamFacts } from "./table.ts"

export interface InflateOptions extends Call, RamFacts {
  /** Where the RAM goes: a file that is not there yet. */
  readonly into: string
  /** Bytes of the blob, as its descriptor says. */
  readonly blobSize: number
  /**
   * The bytes of the table of frames, verified by digest. Without it the whole blob is verified, and inflated by one
   * thread.
   */
  readonly table?: Uint8Array
  /** The memory digest that the RAM must have. Absent: it is only computed. */
  readonly digest?: Digest
  /** Told how many bytes of RAM are done. */
  readonly onBytes?: (done: number) => void
}
