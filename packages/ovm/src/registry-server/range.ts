/** Bytes of a body: `start` to `end`, both included. */
export interface ByteRange {
  readonly start: number
  readonly end: number
}

/**
 * What a Range header asks for of `size` bytes (RFC 9110, section 14). Undefined: the whole, also for what may be
 * ignored, like several ranges at once. "none": nothing of it is there, which is a 416.
 */
export function parseRange(header: string | null, size: number): ByteRange | "none" | undefined {
  const [, first, last] = /^bytes=[ \t]*(\d{0,40})-(\d{0,40})[ \t]*$/i.exec(header ?? "") ?? []
  if (first === undefined || last === undefined || (first === "" && last === "")) return undefined
  if (first === "") {
    const length = Math.min(Number(last), size)
    return length === 0 ? "none" : { start: size - length, end: size - 1 }
  }
  const start = Number(first)
  if (start >= size || (last !== "" && Number(last) < start)) return "none"
  return { start, end: last === "" ? size - 1 : Math.min(Number(last), size - 1) }
}

/**
 * `Content-Range: START-END` of an upload's chunk (distribution-spec: "Pushing a blob in chunks"); undefined if it is
 * none.
 */
export function parseChunkRange(header: string): ByteRange | undefined {
  // Some clients write it as RFC 9110 has it.
  const [, first, last] = /^(?:bytes[ =])?(\d{1,15})-(\d{1,15})(?:\/(?:\d+|\*))?$/.exec(header) ?? []
  const [start, end] = [Number(first), Number(last)]
  return first !== undefined && end >= start ? { start, end } : undefined
}
