import type { ErrorCode } from "../errors.ts"
import type { RamCompression } from "./format.ts"

// What pool.ts and its workers say to each other. Descriptors are this process's own, shared by its threads.

/** Compress `count` chunks of the file `from`, from chunk `first` on. */
export interface CompressTask {
  readonly kind: "compress"
  readonly from: number
  readonly first: number
  readonly count: number
  readonly compression: RamCompression
  readonly level: number
}

export interface Compressed {
  /** One after another. */
  readonly frames: Uint8Array
  /** Of each frame: its size, whether its chunk is all zeros, and the two SHA-256, of the frame and of the chunk. */
  readonly sizes: readonly number[]
  readonly zero: readonly boolean[]
  readonly digests: Uint8Array
  readonly chunkDigests: Uint8Array
}

/**
 * Verify and inflate frames that begin at byte `at` of the file `from` into the chunks from `first` on of the file
 * `to`.
 */
export interface InflateTask {
  readonly kind: "inflate"
  readonly from: number
  readonly at: number
  readonly to: number
  readonly first: number
  readonly compression: RamCompression
  readonly sizes: readonly number[]
  readonly zero: readonly boolean[]
  readonly digests: Uint8Array
}

export interface Inflated {
  readonly chunkDigests: Uint8Array
}

/** Look for secrets that begin in `length` bytes of the file `from`, from byte `at` on. */
export interface ScanTask {
  readonly kind: "scan"
  readonly from: number
  readonly at: number
  readonly length: number
  /** How many places of a kind to tell. */
  readonly places: number
}

export interface Scanned {
  /** By the kind's number in secrets.ts; offsets in the file, ascending. */
  readonly found: readonly { readonly kind: number; readonly count: number; readonly offsets: number[] }[]
}

/** Compare `count` chunks of the files `from` and `with`, from chunk `first` on, page by page. */
export interface CompareTask {
  readonly kind: "compare"
  readonly from: number
  readonly with: number
  readonly first: number
  readonly count: number
}

export interface Compared {
  /** One bit a page, the lowest first: set if the two differ. */
  readonly map: Uint8Array
}

export type Task = CompressTask | InflateTask | ScanTask | CompareTask
export type ResultOf<T extends Task> = T extends CompressTask
  ? Compressed
  : T extends InflateTask
    ? Inflated
    : T extends ScanTask
      ? Scanned
      : Compared

export interface TaskRequest {
  readonly id: number
  readonly task: Task
}

export type TaskAnswer =
  | { readonly id: number; readonly result: Compressed | Inflated | Scanned | Compared }
  | { readonly id: number; readonly error: { code: ErrorCode; message: string; detail: unknown } }
