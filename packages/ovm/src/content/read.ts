import { OvmError } from "../errors.ts"
import type { Descriptor } from "./descriptor.ts"
import type { Bytes, Call, Fetcher } from "./interfaces.ts"

/** The largest manifest or index that is read, in bytes (distribution-spec: "Pushing Manifests"; spec/limits.md). */
export const MANIFEST_LIMIT = 4 * 1024 * 1024

/** Collects `content`. Throws OVM_TOO_LARGE, naming `what`, as soon as more than `limit` bytes came. */
export async function readAll(content: Bytes, limit: number, what: string): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of content) {
    size += chunk.byteLength
    if (size > limit) throw tooLarge(what, limit)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks, size)
}

/** The verified content of a small blob. Throws OVM_TOO_LARGE, before anything is fetched, if it is above `limit`. */
export async function fetchAll(
  source: Fetcher,
  target: Descriptor,
  limit = MANIFEST_LIMIT,
  call: Call = {},
): Promise<Uint8Array> {
  const what = `${target.mediaType} ${target.digest}`
  if (target.size > limit) throw tooLarge(what, limit, target.size)
  return readAll(await source.fetch(target, call), limit, what)
}

/** Bytes in memory as content. */
export async function* bytesOf(...chunks: Uint8Array[]): Bytes {
  yield* chunks
}

/** `size` is what it was said to be, where that is known. */
export function tooLarge(what: string, limit: number, size?: number): OvmError {
  const has = size === undefined ? "" : `, with ${size}`
  return new OvmError("OVM_TOO_LARGE", `${what} is above the limit of ${limit} bytes${has}`, {
    detail: { limit, ...(size !== undefined && { size }) },
  })
}
