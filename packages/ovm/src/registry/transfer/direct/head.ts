import { rangeFault } from "../content-range.ts"
import type { Job } from "./protocol.ts"

/** Bytes of a head that are read; servers in use stay far below. */
export const HEAD_LIMIT = 16 * 1024

export interface Head {
  readonly status: number
  readonly headers: Headers
  /** Whether the connection can be used again after the body. */
  readonly keep: boolean
}

/** The head of an HTTP/1.1 answer (RFC 9112, 4 and 5); undefined for what is not one without doubt. */
export function parseResponseHead(text: string): Head | undefined {
  const [first = "", ...lines] = text.split("\r\n")
  const status = /^HTTP\/1\.1 (\d{3})(?: |$)/.exec(first)?.[1]
  if (status === undefined) return undefined
  const headers = new Headers()
  for (const line of lines) {
    const [, name, value] =
      /^([!#$%&'*+\-.^_`|~\w]+):[ \t]*([\t\x20-\x7e\x80-\xff]*?)[ \t]*$/.exec(line) ?? []
    if (name === undefined || value === undefined) return undefined
    // Two of them is how answers are smuggled; joined, they are no number and no range either.
    headers.append(name, value)
  }
  return { status: Number(status), headers, keep: !/close/i.test(headers.get("connection") ?? "") }
}

/** True if `head` announces exactly the piece that was asked for, in the one form that needs no interpretation. */
export function isPlain({ status, headers }: Head, job: Job): boolean {
  const { extent, size, tag } = job
  return (
    (isWhole(job) ? status === 200 : status === 206 && rangeFault(headers, extent, size) === undefined) &&
    headers.get("content-length") === String(extent.end - extent.start) &&
    !headers.has("transfer-encoding") &&
    (headers.get("content-encoding") ?? "identity") === "identity" &&
    (tag === undefined || headers.get("etag") === tag)
  )
}

/** Such a piece is asked for without a range, which some registries serve at less cost, and hashed on its way. */
export function isWhole({ extent, size }: Pick<Job, "extent" | "size">): boolean {
  return extent.start === 0 && extent.end === size
}
