import type { Digest } from "../../../content/digest.ts"
import type { Extent } from "../../../files/extents.ts"
import type { HttpLimits } from "../../http/limits.ts"
import type { Endpoint } from "./connections.ts"

// What threads.ts and its threads say to each other.

/** One piece of a blob, to be moved from a registry into a file. */
export interface Job {
  readonly endpoint: Endpoint
  /** The head of the request, ready to be sent. */
  readonly request: string
  readonly extent: Extent
  /** Size of the whole blob. */
  readonly size: number
  /** The ETag that earlier pieces had; undefined for the first one. */
  readonly tag?: string | null | undefined
  /** Of this process, shared by its threads. */
  readonly fd: number
  readonly limits: Pick<HttpLimits, "responseMs" | "stallMs" | "rateMs" | "slowestDownload">
}

/** A job for a thread that has none, or that nobody wants any more what it does. */
export type Order = Job | "cancel"

/** How a job ended. */
export type Outcome =
  | { readonly kind: "done"; readonly digest?: Digest | undefined }
  /**
   * The answer was not the plain one that was asked for, or there was none: nothing is written, others may ask again.
   */
  | { readonly kind: "refused"; readonly status: number | undefined }
  /** The connection broke or was cut off, for the reason given; what was told of is written. */
  | { readonly kind: "broken" | "stalled"; readonly reason: string }
  | { readonly kind: "cancelled" }
  /** The file could not be written to. */
  | { readonly kind: "failed"; readonly message: string; readonly code: string | undefined }

export type Report =
  /** The head of the answer is as it should be. */
  | { readonly kind: "head"; readonly tag: string | null; readonly warning: string | null }
  /** The file is written up to byte `at`. */
  | { readonly kind: "written"; readonly at: number }
  | Outcome
