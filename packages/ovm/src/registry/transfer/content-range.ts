import type { Extent } from "../../files/extents.ts"

/**
 * What is wrong with the head of a 206 answer to a request for `wanted` of a blob of `size` bytes (RFC 9110, 14.4 and
 * 15.3.7); undefined if it is exactly what was asked for.
 */
export function rangeFault(headers: Headers, wanted: Extent, size: number): string | undefined {
  const stated = headers.get("content-range") ?? ""
  const [, first, last, total] = /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15}|\*)$/.exec(stated.trim()) ?? []
  if (first === undefined) return `its Content-Range is ${JSON.stringify(stated.slice(0, 60))}`
  if (Number(first) !== wanted.start || Number(last) !== wanted.end - 1)
    return `it sent bytes ${first}-${last} for ${wanted.start}-${wanted.end - 1}`
  if (total !== "*" && Number(total) !== size) return `it says that there are ${total} bytes`
  const length = headers.get("content-length")
  if (length !== null && Number(length) !== wanted.end - wanted.start)
    return `its Content-Length is ${length.slice(0, 20)} for ${wanted.end - wanted.start} bytes`
  return undefined
}
