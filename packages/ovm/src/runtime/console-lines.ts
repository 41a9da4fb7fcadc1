import type { Bytes } from "../content/interfaces.ts"
import { type Moment, momentOf } from "../vmm/console-times.ts"

/** A line without its end longer than this is cut, so that a guest that never ends a line cannot fill memory. */
const MAX_LINE = 64 << 10
const NEWLINE = 0x0a

/** Console bytes, and where the piece that was given last began. */
export interface PlacedBytes {
  readonly bytes: Bytes
  offset(): number
}

/**
 * One JSON object a line (spec/runtime-api.md, "Logs"). `time` is when the line began to come, as `moments` have it;
 * without a word of them, as of what has only come now, it is now.
 */
export async function* consoleLines({ bytes, offset }: PlacedBytes, moments: readonly Moment[]): Bytes {
  const known = moments.at(-1)?.offset ?? -1
  let rest: Uint8Array = new Uint8Array()
  let began: number | undefined
  const entry = (line: Uint8Array) => {
    const ms = began !== undefined && began <= known ? momentOf(moments, began) : undefined
    const time = new Date(ms ?? Date.now()).toISOString()
    const text = Buffer.from(line).toString().replace(/\r$/, "")
    return Buffer.from(`${JSON.stringify({ time, text })}\n`)
  }
  for await (const chunk of bytes) {
    for (let at = 0; at < chunk.length; ) {
      const newline = chunk.indexOf(NEWLINE, at)
      const stop = newline < 0 ? chunk.length : newline
      const end = Math.min(stop, at + MAX_LINE - rest.length)
      began ??= offset() + at
      rest = Buffer.concat([rest, chunk.subarray(at, end)])
      at = end === newline ? end + 1 : end
      // What may still go on.
      if (end === stop && newline < 0) break
      yield entry(rest)
      rest = new Uint8Array()
      began = undefined
    }
  }
  if (rest.length > 0) yield entry(rest)
}
