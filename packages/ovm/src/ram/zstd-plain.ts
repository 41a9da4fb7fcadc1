import { readSync } from "node:fs"
import { Readable } from "node:stream"
import { createZstdDecompress } from "node:zlib"
import type { Bytes } from "../content/interfaces.ts"
import { CHUNK } from "./format.ts"
import { malformedRam } from "./malformed.ts"
import { endOfFrame } from "./zstd.ts"

const FRAME = 0xfd2fb528
const SKIPPABLE = 0x184d2a50

/**
 * The content of whatever Zstandard frames `content` has, in memory bounded by their windows. Throws OVM_RAM_INVALID.
 */
export async function* inflateZstdStream(content: Bytes): Bytes {
  const decoder = createZstdDecompress({ chunkSize: CHUNK })
  const source = Readable.from(content, { objectMode: false })
  // pipe() passes no errors on: that of the source is the reason, whatever the decoder then says.
  let failure: unknown
  source.once("error", (error) => {
    failure = error
    decoder.destroy(error)
  })
  try {
    yield* source.pipe(decoder)
  } catch (cause) {
    if (failure !== undefined) throw failure
    throw malformedRam(`Zstandard: ${(cause as Error).message}`, "OVMS-SNP-044", cause)
  } finally {
    source.destroy()
    decoder.destroy()
  }
}

/**
 * Walks over the frames and blocks of the open file `fd` without inflating them, because the decoder is silent about a
 * last frame that is cut off and about what follows that is no frame. Throws OVM_RAM_INVALID.
 */
export function checkZstdFrames(fd: number, size: number): void {
  const head = Buffer.alloc(8)
  const block = Buffer.alloc(3)
  const wordAt = (at: number) => (readSync(fd, block, 0, 3, at) === 3 ? block.readUIntLE(0, 3) : undefined)
  for (let at = 0; at < size; ) {
    const magic = readSync(fd, head, 0, head.length, at) === head.length ? head.readUInt32LE(0) : 0
    if ((magic & 0xfffffff0) === SKIPPABLE) at += 8 + head.readUInt32LE(4)
    else if (magic === FRAME) at = endOfFrame(head.readUInt8(4), at, wordAt)
    else throw malformedRam(`there is no Zstandard frame at byte ${at}`)
    if (at > size) throw malformedRam("the last Zstandard frame is cut off")
  }
}
