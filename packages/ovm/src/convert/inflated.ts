import { Readable } from "node:stream"
import { createGunzip, createZstdDecompress } from "node:zlib"
import type { Bytes } from "../content/interfaces.ts"
import { OvmError } from "../errors.ts"

/**
 * What a layer has, told by its first bytes: inflated where it is compressed by gzip or zstd. `what` is its name in
 * messages. Throws OVM_ARTIFACT_INVALID for damage, once it is reached, and what `layer` throws.
 */
export async function inflated(layer: Bytes, what: string): Promise<AsyncGenerator<Uint8Array>> {
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
  if (magic.startsWith("1f8b")) return through(whole, createGunzip(), what)
  if (magic === "28b52ffd") return through(whole, createZstdDecompress(), what)
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

async function* through(
  content: Bytes,
  stream: ReturnType<typeof createGunzip>,
  what: string,
): AsyncGenerator<Uint8Array> {
  const source = Readable.from(content, { objectMode: false })
  source.on("error", (error) => stream.destroy(error))
  try {
    yield* source.pipe(stream) as AsyncIterable<Buffer>
  } catch (thrown) {
    if (thrown instanceof OvmError || !isDamage(thrown)) throw thrown
    throw new OvmError("OVM_ARTIFACT_INVALID", `${what}: it cannot be unpacked: ${thrown.message}`, {
      cause: thrown,
    })
  } finally {
    source.destroy()
    stream.destroy()
  }
}

function isDamage(thrown: unknown): thrown is Error {
  return thrown instanceof Error && "code" in thrown && /^(Z_|ZSTD_|ERR_)/.test(String(thrown.code))
}
