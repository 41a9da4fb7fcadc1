import { blobDigest } from "./digest.ts"
import { type Exchange, writableOf } from "./exchange.ts"
import { bodyTo } from "./file-content.ts"
import { parseRange } from "./range.ts"
import { Refusal, unknownBlob } from "./refusal.ts"

/** GET and HEAD, whole or one range (distribution-spec: "Pulling blobs"). */
export async function getBlob(exchange: Exchange, repository: string, id: string): Promise<Response> {
  const digest = blobDigest(id)
  const found = await exchange.content.blob(repository, digest)
  if (!found) throw unknownBlob(digest)
  const headers: Record<string, string> = {
    "Content-Type": "application/octet-stream",
    "Content-Length": `${found.size}`,
    "Docker-Content-Digest": digest,
    "Accept-Ranges": "bytes",
    "Cache-Control": "max-age=31536000",
    ETag: `"${digest}"`,
  }
  if (exchange.request.method === "HEAD") return new Response(null, { headers })
  const range = parseRange(exchange.request.headers.get("range"), found.size)
  if (range === undefined) return new Response(bodyTo(exchange.near, found.content), { headers })
  if (range === "none")
    throw new Refusal(
      416,
      "SIZE_INVALID",
      `the range asked for is not within the ${found.size} bytes of the blob`,
      {
        headers: { "Content-Range": `bytes */${found.size}` },
      },
    )
  const { start, end } = range
  headers["Content-Length"] = `${end + 1 - start}`
  headers["Content-Range"] = `bytes ${start}-${end}/${found.size}`
  const part = found.content.slice(start, end + 1)
  return new Response(bodyTo(exchange.near, part), { status: 206, headers })
}

/** DELETE (distribution-spec: "Deleting Blobs"): the repository's claim to it; the bytes go when nobody has one. */
export async function deleteBlob(exchange: Exchange, repository: string, id: string): Promise<Response> {
  const digest = blobDigest(id)
  if (!(await writableOf(exchange).deleteBlob(repository, digest))) throw unknownBlob(digest)
  return new Response(null, { status: 202, headers: { "Docker-Content-Digest": digest } })
}
