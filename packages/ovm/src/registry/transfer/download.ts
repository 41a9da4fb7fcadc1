import type { Descriptor } from "../../content/descriptor.ts"
import type { Bytes } from "../../content/interfaces.ts"
import { bytesOf } from "../../content/read.ts"
import { sizeMismatch, verifiedContent } from "../../content/verify.ts"
import { OvmError, ofRegistry } from "../../errors.ts"
import type { Extent } from "../../files/extents.ts"
import { type Answer, discard, readBody } from "../http/http.ts"
import { Pauses, Transient } from "../http/retry.ts"
import type { RegistryRequest } from "../transport/request.ts"
import type { Transport } from "../transport/transport.ts"
import { pour } from "./answer.ts"
import { type Filling, Ranged } from "./ranged.ts"

/** Content up to this size is held in memory where it helps; bytes. What is larger is fetched by ranges into a file. */
const COLLECTED = 4 * 1024 * 1024

/**
 * The verified content of `target`. What is absent or has the wrong length is refused before the first byte; a
 * connection that breaks later is made again, up to the limit of attempts. Throws OVM_CONTENT_MISSING,
 * OVM_SIZE_MISMATCH, OVM_DIGEST_MISMATCH and what the transport throws.
 */
export async function download(
  transport: Transport,
  request: RegistryRequest,
  target: Descriptor,
): Promise<Bytes> {
  const begin = async () => checkedLength(transport, request, target, await transport.send(request))
  const first = await begin().catch((thrown) => naming(target, thrown))
  const content = persistent(transport, request, target, first)
  const checked = verifiedContent(content, target, `${transport.host}'s copy`)
  if (!transport.hasMirrors || target.size > COLLECTED) return blaming(transport, target, checked)
  try {
    return bytesOf(...(await Array.fromAsync(checked)))
  } catch (error) {
    // Collected before any of it is given out, so that the next source can make up for a mirror's wrong bytes.
    if (isMismatch(error) && transport.blame(target.digest)) return download(transport, request, target)
    throw error
  }
}

/** Has a mirror that sent something else remembered as one that does. */
async function* blaming(transport: Transport, target: Descriptor, content: Bytes): Bytes {
  try {
    yield* content
  } catch (error) {
    if (isMismatch(error)) transport.blame(target.digest)
    naming(target, error)
  }
}

/** Throws a registry's trouble with one of many blobs saying with which. */
function naming({ digest }: Descriptor, thrown: unknown): never {
  if (!ofRegistry(thrown) || thrown.message.includes(digest)) throw thrown
  const { code, message, detail, hint } = thrown
  throw new OvmError(code, `${message} (${digest})`, { cause: thrown, detail, ...(hint && { hint }) })
}

function isMismatch(error: unknown): boolean {
  return error instanceof OvmError && error.code === "OVM_DIGEST_MISMATCH"
}

/**
 * Fills a blob, what is missing of it by ranges, and commits it. Where a registry does not serve ranges as
 * it should, or pieces of several answers do not make up the blob, the whole is fetched once in one stream. Throws as
 * above.
 */
export async function downloadInto(
  transport: Transport,
  filling: Filling,
  onBytes: (done: number) => void = () => {},
): Promise<void> {
  await filled(transport, filling, onBytes).catch((thrown) => naming(filling.target, thrown))
}

async function filled(
  transport: Transport,
  filling: Filling,
  onBytes: (done: number) => void,
): Promise<void> {
  const { target, request, into } = filling
  let done = target.size - sizeOf(into.missing())
  const moved = (bytes: number) => {
    done += bytes
    onBytes(done)
  }
  const ranged = new Ranged(transport, filling, moved)
  if (await ranged.fill()) {
    try {
      return await into.commit()
    } catch (error) {
      if (!isMismatch(error)) throw error
      transport.blame(target.digest)
    }
  }
  await into.reset()
  done = 0
  const whole = ranged.whole ?? (await transport.send(request))
  const first = await checkedLength(transport, request, target, whole)
  await pour(persistent(transport, request, target, first), into, { at: 0 }, moved)
  await into.commit()
}

function sizeOf(extents: readonly Extent[]): number {
  return extents.reduce((sum, { start, end }) => sum + end - start, 0)
}

async function checkedLength(
  transport: Transport,
  request: RegistryRequest,
  target: Descriptor,
  answer: Answer,
): Promise<Answer> {
  const length = answer.response.headers.get("content-length")
  if (length === null || Number(length) === target.size) return answer
  await discard(answer.response)
  if (transport.blame(target.digest))
    return checkedLength(transport, request, target, await transport.send(request))
  throw sizeMismatch(target, length.slice(0, 20), `${transport.host}'s copy`)
}

// A further attempt begins at the first byte and drops what was passed on before: the hash that goes along covers both
// parts, so that the pieces of two answers cannot be mixed into something else.
async function* persistent(
  transport: Transport,
  request: RegistryRequest,
  target: Descriptor,
  first: Answer,
): Bytes {
  const pauses = new Pauses(transport.limits, request)
  let answer: Answer | undefined = first
  let seen = 0
  while (true) {
    try {
      answer ??= await transport.exchange(request)
      for await (const chunk of skip(readBody(answer, transport.limits, request), seen)) {
        seen += chunk.byteLength
        if (seen > target.size)
          throw sizeMismatch(target, `more than ${target.size}`, `${transport.host}'s copy`)
        yield chunk
      }
      if (seen >= target.size) return
      throw new Transient(sizeMismatch(target, `${seen}`, `${transport.host}'s copy`))
    } catch (error) {
      await pauses.after(error)
      answer = undefined
    }
  }
}

async function* skip(content: Bytes, count: number): Bytes {
  let left = count
  for await (const chunk of content) {
    if (left < chunk.byteLength) yield chunk.subarray(left)
    left = Math.max(0, left - chunk.byteLength)
  }
}

/** Header value as a size; undefined if it is absent. Throws OVM_REGISTRY_FAILED for what is no size. */
export function sizeHeader(headers: Headers, what: string): number | undefined {
  const value = headers.get("content-length")
  if (value === null) return undefined
  if (/^\d{1,15}$/.test(value)) return Number(value)
  throw new OvmError("OVM_REGISTRY_FAILED", `${what}: its Content-Length is not a number`)
}
