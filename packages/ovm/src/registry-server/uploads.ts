import { isRepository } from "../registry/reference.ts"
import { type BlobDigest, blobDigest } from "./digest.ts"
import { contentLength, type Exchange, writableOf } from "./exchange.ts"
import type { Upload } from "./interfaces.ts"
import { parseChunkRange } from "./range.ts"
import { Refusal } from "./refusal.ts"
import { invalidName } from "./routes.ts"

/** POST: a mount, a whole blob, or the beginning of an upload (distribution-spec: "Pushing blobs"). */
export async function postUpload(exchange: Exchange, repository: string): Promise<Response> {
  const writable = writableOf(exchange)
  const { searchParams } = exchange.url
  const mount = searchParams.get("mount")
  if (mount !== null) {
    const digest = blobDigest(mount)
    const from = searchParams.get("from") ?? undefined
    if (from !== undefined && !isRepository(from)) throw invalidName(from)
    if (await writable.mount(repository, digest, from)) return created(repository, digest)
  }
  const digest = searchParams.get("digest")
  if (mount !== null || digest === null)
    return accepted(repository, await writable.beginUpload(repository, exchange.client))
  const expected = blobDigest(digest)
  const upload = await writable.beginUpload(repository, exchange.client)
  try {
    await upload.append(exchange.body)
    exchange.patience()
    await upload.commit(expected)
  } catch (error) {
    // The client has no name for it, so nobody could go on with it.
    await upload.cancel()
    throw error
  }
  return created(repository, expected)
}

/** PATCH: one chunk, or all of it in one stream. */
export async function patchUpload(exchange: Exchange, repository: string, id: string): Promise<Response> {
  const upload = await find(exchange, repository, id)
  await append(exchange, repository, upload)
  return accepted(repository, upload)
}

/** PUT: the last chunk, or the whole blob, or nothing more; then the blob is there. */
export async function putUpload(exchange: Exchange, repository: string, id: string): Promise<Response> {
  const digest = exchange.url.searchParams.get("digest")
  if (digest === null) throw new Refusal(400, "DIGEST_INVALID", "the query has no digest")
  const expected = blobDigest(digest)
  const upload = await find(exchange, repository, id)
  await append(exchange, repository, upload)
  exchange.patience()
  await upload.commit(expected)
  return created(repository, expected)
}

/** GET: how far it has come. */
export async function getUpload(exchange: Exchange, repository: string, id: string): Promise<Response> {
  const upload = await find(exchange, repository, id)
  return new Response(null, { status: 204, headers: progress(repository, upload) })
}

export async function deleteUpload(exchange: Exchange, repository: string, id: string): Promise<Response> {
  await (await find(exchange, repository, id)).cancel()
  return new Response(null, { status: 204 })
}

async function find(exchange: Exchange, repository: string, id: string): Promise<Upload> {
  const found = await writableOf(exchange).upload(repository, id)
  if (found) return found
  throw new Refusal(
    404,
    "BLOB_UPLOAD_UNKNOWN",
    "there is no such upload: it was finished, cancelled, or it expired",
  )
}

async function append(exchange: Exchange, repository: string, upload: Upload): Promise<void> {
  const at = chunkStart(exchange)
  if (await upload.append(exchange.body, at)) return
  throw new Refusal(
    416,
    "BLOB_UPLOAD_INVALID",
    `the chunk begins at ${at}; the upload has ${upload.size} bytes`,
    {
      headers: progress(repository, upload),
    },
  )
}

// With the length that HTTP itself enforces no chunk can be longer than its range says.
function chunkStart(exchange: Exchange): number | undefined {
  const header = exchange.request.headers.get("content-range")
  if (header === null) return undefined
  const range = parseChunkRange(header)
  if (!range) throw new Refusal(400, "BLOB_UPLOAD_INVALID", "Content-Range is not START-END")
  const length = contentLength(exchange)
  if (length === range.end + 1 - range.start) return range.start
  throw new Refusal(
    400,
    "SIZE_INVALID",
    `Content-Range is ${header}, Content-Length ${length ?? "is missing"}`,
  )
}

function accepted(repository: string, upload: Upload): Response {
  return new Response(null, { status: 202, headers: progress(repository, upload) })
}

/** `0-0` also stands for nothing: the standard has no way of saying that. */
function progress(repository: string, { id, size }: Upload): Record<string, string> {
  return {
    Location: `/v2/${repository}/blobs/uploads/${id}`,
    Range: `0-${Math.max(size - 1, 0)}`,
    "Docker-Upload-UUID": id,
  }
}

function created(repository: string, digest: BlobDigest): Response {
  const headers = { Location: `/v2/${repository}/blobs/${digest}`, "Docker-Content-Digest": digest }
  return new Response(null, { status: 201, headers })
}
