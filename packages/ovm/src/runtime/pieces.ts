import type { Bytes } from "../content/interfaces.ts"
import { toOvmError } from "../errors.ts"
import type { OutputPiece } from "../guest/agent/stream.ts"
import { entryOf } from "./instance.ts"

/** Of the pieces of an answer (spec/runtime-api.md, "exec"). */
const CHANNELS = { stdout: 1, stderr: 2, end: 3 } as const

/** What a command writes and how it ends, or what it failed with, in pieces (OVMS-API-325). */
export async function* asPieces(output: AsyncGenerator<OutputPiece, object>): Bytes {
  try {
    for (;;) {
      const next = await output.next()
      if (next.done) return yield piece(CHANNELS.end, Buffer.from(JSON.stringify(next.value)))
      yield piece(CHANNELS[next.value.channel], next.value.bytes)
    }
  } catch (thrown) {
    yield piece(CHANNELS.end, Buffer.from(JSON.stringify({ error: entryOf(toOvmError(thrown)) })))
  } finally {
    await output.return({})
  }
}

function piece(channel: number, bytes: Uint8Array): Buffer {
  const head = Buffer.alloc(5)
  head[0] = channel
  head.writeUInt32BE(bytes.length, 1)
  return Buffer.concat([head, bytes])
}
