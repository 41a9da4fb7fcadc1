import { writeNow } from "../files/writing.ts"
import { isZero } from "../files/zeros.ts"
import { GUEST_PAGE } from "./format.ts"

/** Writes `content` at byte `at` of the open file `fd`, whose bytes there are zero, without the pages that are. */
export function writeSparse(fd: number, content: Uint8Array, at: number): void {
  const pageEnd = (from: number) => Math.min(from + GUEST_PAGE, content.byteLength)
  for (let start = 0; start < content.byteLength; ) {
    if (isZero(content, start, pageEnd(start))) {
      start += GUEST_PAGE
      continue
    }
    let end = pageEnd(start)
    while (end < content.byteLength && !isZero(content, end, pageEnd(end))) end = pageEnd(end)
    writeNow(fd, content.subarray(start, end), at + start)
    start = end
  }
}
