import { isZero } from "./chunk.ts"

const PAGE = 4096

/** As writeSync of node:fs. */
type Write = (fd: number, bytes: Uint8Array, from: number, count: number, at: number) => number

/** Writes `content` at byte `at` of the open file `fd`, whose bytes there are zero, without the pages that are. */
export function writeSparse(fd: number, content: Uint8Array, at: number, write: Write): void {
  for (let start = 0; start < content.byteLength; ) {
    if (isZero(content.subarray(start, start + PAGE))) {
      start += PAGE
      continue
    }
    let end = Math.min(start + PAGE, content.byteLength)
    while (end < content.byteLength && !isZero(content.subarray(end, end + PAGE)))
      end = Math.min(end + PAGE, content.byteLength)
    for (let done = start; done < end; ) done += write(fd, content, done, end - done, at + done)
    start = end
  }
}
