import { Readable } from "node:stream"
import { createGunzip, createZstdDecompress } from "node:zlib"
import type { Bytes } from "../../content/interfaces.ts"
import { OvmError } from "../../errors.ts"

/** What a layer has, told by its first bytes: inflated where it is compressed by gzip or zstd. */
export async function inflated(layer: Bytes): Promise<AsyncGenerator<Uint8Array>> {
  const chunks = layer[Symbol.asyncIterator]()
  const head: Uint8Array[] = []
  for (let size = 0; size < 4; ) {
    const next = await chunks.next()
    if (next.done) break
    head.push(next.value)
    size += next.value.byteLength
  }
  const whole = rejoined(head, chunks)
  const magic = Buffer.concat(head).subarray(0, 4).toString("hex")
  if (magic.startsWith("1f8b")) return through(whole, createGunzip())
  if (magic === "28b52ffd") return through(whole, createZstdDecompress())
  return whole
}

async function* rejoined(
  head: readonly Uint8Array[],
  rest: AsyncIterator<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  try {
    yield* head
    for (let next = await rest.next(); !next.done; next = await rest.next()) yield next.value
  } finally {
    await rest.return?.()
  }
}

async function* through(content: Bytes, stream: ReturnType<typeof createGunzip>): AsyncGenerator<Uint8Array> {
  const source = Readable.from(content, { objectMode: false })
  source.on("error", (error) => stream.destroy(error))
  try {
    yield* source.pipe(stream) as AsyncIterable<Buffer>
  } catch (thrown) {
    if (thrown instanceof OvmError) throw thrown
    throw new OvmError("OVM_ARTIFACT_INVALID", `a layer cannot be inflated: ${thrown}`, { cause: thrown })
  } finally {
    source.destroy()
    stream.destroy()
  }
}
