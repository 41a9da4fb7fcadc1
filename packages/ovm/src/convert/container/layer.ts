import { Readable } from "node:stream"
import { createGunzip, createZstdDecompress } from "node:zlib"
import { type Digest, sha256 } from "../../content/digest.ts"
import type { Bytes } from "../../content/interfaces.ts"
import { digestMismatch } from "../../content/verify.ts"
import { OvmError } from "../../errors.ts"
import { fault } from "./limits.ts"

/** A layer as it comes, and what it is to be. */
export interface PackedLayer {
  readonly content: Bytes
  readonly diffId: Digest
  readonly what: string
  /** Told of so many more bytes before they are given out. Throws where there are too many. */
  grows(bytes: number): void
}

/**
 * The tar archive that a layer is, told by its bytes: compressed by gzip or zstd, or not at all. Throws, at its end,
 * OVM_DIGEST_MISMATCH where it is another one; OVM_ARTIFACT_INVALID for damage, and what `content` throws.
 */
export async function* unpackedLayer({ content, diffId, what, grows }: PackedLayer): Bytes {
  const hash = sha256()
  let size = 0
  for await (const chunk of plain(content, what)) {
    grows(chunk.byteLength)
    hash.update(chunk)
    size += chunk.byteLength
    yield chunk
  }
  const found = hash.digest()
  if (found !== diffId) throw digestMismatch({ digest: diffId, size }, found, what)
}

async function* plain(content: Bytes, what: string): Bytes {
  const chunks = content[Symbol.asyncIterator]()
  const head: Uint8Array[] = []
  for (let size = 0; size < 4; ) {
    const next = await chunks.next()
    if (next.done) break
    head.push(next.value)
    size += next.value.byteLength
  }
  const all = (async function* () {
    yield* head
    yield* { [Symbol.asyncIterator]: () => chunks }
  })()
  const unpack = unpacker(Buffer.concat(head).subarray(0, 4))
  if (!unpack) yield* all
  else yield* through(all, unpack(), what)
}

function unpacker(first: Uint8Array): (() => ReturnType<typeof createGunzip>) | undefined {
  const starts = (...bytes: number[]) => bytes.every((byte, at) => first[at] === byte)
  if (starts(0x1f, 0x8b)) return createGunzip
  return starts(0x28, 0xb5, 0x2f, 0xfd) ? createZstdDecompress : undefined
}

async function* through(content: Bytes, stream: ReturnType<typeof createGunzip>, what: string): Bytes {
  const source = Readable.from(content)
  source.on("error", (error) => stream.destroy(error))
  try {
    yield* source.pipe(stream) as AsyncIterable<Buffer>
  } catch (thrown) {
    if (thrown instanceof OvmError || !isDamage(thrown)) throw thrown
    throw fault(what, `it cannot be unpacked: ${thrown.message}`)
  } finally {
    source.destroy()
    stream.destroy()
  }
}

function isDamage(thrown: unknown): thrown is Error {
  return thrown instanceof Error && "code" in thrown && /^(Z_|ZSTD_|ERR_)/.test(String(thrown.code))
}
