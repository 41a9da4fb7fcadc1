import type { FileHandle } from "node:fs/promises"
import type { Digest } from "../content/digest.ts"
import type { Bytes } from "../content/interfaces.ts"
import { verifiedContent } from "../content/verify.ts"
import { readChunks } from "../files/chunks.ts"
import { isZero } from "../files/zeros.ts"
import { CHUNK } from "./format.ts"
import type { InflateOptions } from "./inflate-options.ts"
import { malformedRam } from "./malformed.ts"
import { MemoryDigest, sha256Of } from "./memory-digest.ts"
import { ByteReader } from "./reader.ts"
import { writeSparse } from "./sparse.ts"

/** RAM as the plain tools write it: any frames, no table. The blob is verified on the way; at its end, not before. */
export async function inflatePlain(
  path: string,
  fd: number,
  target: FileHandle,
  options: InflateOptions,
): Promise<Digest> {
  const { ref, blobSize, size, onBytes } = options
  const blob = verifiedContent(readChunks(path, options), { digest: ref, size: blobSize }, path)
  const memory = new MemoryDigest()
  await using reader = new ByteReader(await contentOf(blob, fd, options))
  let at = 0
  for (;;) {
    const chunk = await reader.take(CHUNK)
    if (chunk.length === 0) break
    if (at + chunk.length > size) throw malformedRam(`it inflates to more than ${size} bytes`)
    if (chunk.length < CHUNK) throw tooShort(at + chunk.length, size)
    if (isZero(chunk)) memory.addZeros(1)
    else {
      memory.add(sha256Of(chunk))
      writeSparse(target.fd, chunk, at)
    }
    at += CHUNK
    onBytes?.(at)
  }
  if (at < size) throw tooShort(at, size)
  return memory.digest()
}

async function contentOf(blob: Bytes, fd: number, { compression, blobSize }: InflateOptions): Promise<Bytes> {
  if (compression === "lz4") return (await import("./lz4-plain.ts")).inflateLz4Stream(blob)
  const { checkZstdFrames, inflateZstdStream } = await import("./zstd-plain.ts")
  checkZstdFrames(fd, blobSize)
  return inflateZstdStream(blob)
}

function tooShort(found: number, size: number) {
  return malformedRam(`it inflates to ${found} bytes, not ${size}`)
}
