import { stat } from "node:fs/promises"
import type { Descriptor } from "../../content/descriptor.ts"
import type { Bytes, Call, Progressing } from "../../content/interfaces.ts"
import { abortable, verifiedContent } from "../../content/verify.ts"
import { OvmError } from "../../errors.ts"
import { isObject } from "../../objects.ts"
import { type Body, bytesBody, fileBody, streamBody } from "../http/http.ts"
import { Pauses, retry, Transient } from "../http/retry.ts"
import type { Transport } from "../transport/transport.ts"
import { UploadSession, type UploadTarget } from "./upload-session.ts"

/** Content up to this size is collected before it is sent, so that it can be sent again. */
const COLLECTED = 4 * 1024 * 1024
/** Chunks where the registry only says how small they must not be, and where it finds the whole too large; bytes. */
const LARGE_CHUNK = 64 * 1024 * 1024
const SMALL_CHUNK = 4 * 1024 * 1024

/** Content as a request body that the server gets whole only if it is what `expected` names. */
export async function checkedBody(expected: Descriptor, content: Bytes, call: Call): Promise<Body> {
  const checked = verifiedContent(abortable(content, call), expected)
  if (expected.size > COLLECTED) return streamBody(lastWhenVerified(checked), expected.size)
  return bytesBody(Buffer.concat(await Array.fromAsync(checked)))
}

/** A file as a request body; its digest is checked by the registry. Throws ENOENT and the like. */
export async function checkedFile(path: string): Promise<Body> {
  return fileBody(path, (await stat(path)).size)
}

// The verdict comes with the end of the content, so the last chunk waits for it: without it the upload is short, and
// the registry has nothing to commit.
async function* lastWhenVerified(content: Bytes): Bytes {
  let held: Uint8Array | undefined
  for await (const chunk of content) {
    if (held) yield held
    held = chunk
  }
  if (held) yield held
}

/** A blob on its way out. */
export interface Outgoing {
  readonly target: Descriptor
  readonly body: Body
}

/**
 * Uploads a blob: in one piece, or in chunks where the registry or the operator wants them. What was broken off goes on
 * where the registry says that it ended, if it knows; else from the beginning, if the content can be sent again.
 * Throws OVM_DIGEST_MISMATCH if the registry finds another digest, OVM_TOO_LARGE.
 */
export function upload(
  transport: Transport,
  to: UploadTarget,
  blob: Outgoing,
  call: Progressing,
): Promise<void> {
  const { target, body } = blob
  const what = `upload of ${target.digest} to ${to.base.slice("/v2/".length)}`
  const quiet: Call = { ...(call.signal && { signal: call.signal }) }
  let chunk = transport.chunkBytes
  return retry(transport.limits, call, async () => {
    const session = await UploadSession.begin(transport, to, what, quiet)
    try {
      if (chunk === undefined && session.leastChunk !== undefined) chunk = LARGE_CHUNK
      const uploading = new Uploading(transport, session, blob, call)
      if (body.slice && chunk !== undefined) await uploading.inChunks(chunk)
      else await uploading.whole()
    } catch (error) {
      await session.cancel()
      throw body.slice || !(error instanceof Transient) ? error : error.error
    }
  })
}

class Uploading {
  readonly #pauses: Pauses

  constructor(
    transport: Transport,
    private readonly session: UploadSession,
    private readonly blob: Outgoing,
    private readonly call: Progressing,
  ) {
    this.#pauses = new Pauses(transport.limits, call)
  }

  async whole(): Promise<void> {
    try {
      await this.session.put(this.blob.target.digest, this.blob.body)
      this.call.onBytes?.(this.blob.body.size)
    } catch (error) {
      if (!this.blob.body.slice) throw error
      if (statusOf(error) === 413) return this.inChunks(SMALL_CHUNK)
      if (!(error instanceof Transient)) throw error
      const at = await this.session.received()
      if (!at || at > this.blob.body.size) throw error
      await this.inChunks(LARGE_CHUNK, at)
    }
  }

  /**
   * Sends what begins at byte `from` in chunks of `wanted` bytes, smaller ones if the registry finds them too large.
   */
  async inChunks(wanted: number, from = 0): Promise<void> {
    const least = this.session.leastChunk ?? 1
    let chunk = Math.max(wanted, least)
    for (let at = from; at < this.blob.body.size; ) {
      const end = Math.min(this.blob.body.size, at + chunk)
      try {
        const next = await this.session.patch(at, this.#slice(at, end))
        if (next > end) throw this.#astray(next)
        if (next <= at) throw new Transient(this.#astray(next))
        at = next
        this.#pauses.forget()
        this.call.onBytes?.(at)
      } catch (error) {
        if (statusOf(error) === 413 && chunk > least && chunk > 1) {
          chunk = Math.max(least, Math.ceil(chunk / 2))
          continue
        }
        at = await this.#continued(error)
      }
    }
    await this.session.put(this.blob.target.digest)
  }

  /** Where to go on after a chunk failed: out of step (416) or broken off. */
  async #continued(error: unknown): Promise<number> {
    if (statusOf(error) !== 416 && !(error instanceof Transient)) throw error
    const at = await this.session.received()
    if (at === undefined || at > this.blob.body.size)
      throw error instanceof OvmError ? new Transient(error) : error
    await this.#pauses.after(error instanceof OvmError ? new Transient(error) : error)
    return at
  }

  #slice(start: number, end: number): Body {
    if (this.blob.body.slice) return this.blob.body.slice(start, end)
    throw new OvmError("OVM_INTERNAL", `${this.blob.target.digest} cannot be sent in chunks`)
  }

  #astray(at: number): OvmError {
    return new OvmError(
      "OVM_REGISTRY_FAILED",
      `the registry says that it has ${at} bytes of ${this.blob.target.digest}, which is not what it was sent`,
    )
  }
}

function statusOf(error: unknown): unknown {
  return error instanceof OvmError && isObject(error.detail) ? error.detail.status : undefined
}
