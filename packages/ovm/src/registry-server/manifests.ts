import { createHash } from "node:crypto"
import { MANIFEST_LIMIT, readAll } from "../content/read.ts"
import { OvmError } from "../errors.ts"
import { isTag } from "../registry/reference.ts"
import { type BlobDigest, blobDigest, digestAlgorithmOf, isBlobDigest } from "./digest.ts"
import { contentLength, type Exchange, writableOf } from "./exchange.ts"
import { readManifestBody } from "./manifest-body.ts"
import { Refusal, unknownManifest } from "./refusal.ts"

/** Tags that one PUT may set by its query. */
const TAGS_LIMIT = 64

/** GET and HEAD (distribution-spec: "Pulling manifests"). `Accept` is not asked: a manifest has one form. */
export async function getManifest(
  exchange: Exchange,
  repository: string,
  reference: string,
): Promise<Response> {
  const found = await exchange.content.manifest(repository, checked(reference))
  if (!found) throw unknownManifest(reference)
  const headers = {
    "Content-Type": found.mediaType,
    "Content-Length": `${found.size}`,
    "Docker-Content-Digest": found.digest,
    ETag: `"${found.digest}"`,
  }
  return new Response(exchange.request.method === "HEAD" ? null : found.content, { headers })
}

/**
 * PUT (distribution-spec: "Pushing Manifests"), by tag or by digest; by digest also with `?tag=` as often as wanted.
 */
export async function receiveManifest(
  exchange: Exchange,
  repository: string,
  reference: string,
): Promise<Response> {
  const writable = writableOf(exchange)
  checked(reference)
  const tags = isTag(reference) ? [reference] : tagsIn(exchange.url)
  const bytes = await manifestBytes(exchange)
  const digest = digestOf(bytes, isBlobDigest(reference) ? digestAlgorithmOf(reference) : "sha256")
  if (isBlobDigest(reference) && digest !== reference)
    throw new Refusal(400, "DIGEST_INVALID", `the manifest has the digest ${digest}, not ${reference}`)
  const { blobs, ...body } = readManifestBody(bytes, exchange.request.headers.get("content-type"))
  for (const blob of new Set(blobs))
    if (!(await writable.blob(repository, blob)))
      throw new Refusal(
        400,
        "MANIFEST_BLOB_UNKNOWN",
        `the repository has no blob ${blob}, which the manifest names`,
        {
          detail: { digest: blob },
        },
      )
  await writable.putManifest(repository, { ...body, digest, size: bytes.byteLength, bytes }, tags)
  const headers = new Headers({
    Location: `/v2/${repository}/manifests/${digest}`,
    "Docker-Content-Digest": digest,
  })
  if (body.subject) headers.set("OCI-Subject", body.subject)
  if (!isTag(reference)) for (const tag of tags) headers.append("OCI-Tag", tag)
  return new Response(null, { status: 201, headers })
}

/** DELETE: by digest the manifest and all its tags, by tag the tag alone (distribution-spec: "Deleting Manifests"). */
export async function deleteManifest(
  exchange: Exchange,
  repository: string,
  reference: string,
): Promise<Response> {
  const writable = writableOf(exchange)
  checked(reference)
  const deleted = isBlobDigest(reference)
    ? await writable.deleteManifest(repository, reference)
    : await writable.deleteTag(repository, reference)
  if (!deleted) throw unknownManifest(reference)
  return new Response(null, { status: 202 })
}

/** Throws 400 DIGEST_INVALID, or 400 MANIFEST_INVALID for what is neither a digest nor a tag. */
function checked(reference: string): string {
  if (reference.includes(":")) return blobDigest(reference)
  if (isTag(reference)) return reference
  throw new Refusal(400, "MANIFEST_INVALID", `${JSON.stringify(reference.slice(0, 140))} is not a tag`)
}

function tagsIn(url: URL): readonly string[] {
  const tags = [...new Set(url.searchParams.getAll("tag"))]
  const bad = tags.find((tag) => !isTag(tag))
  if (bad !== undefined)
    throw new Refusal(400, "MANIFEST_INVALID", `${JSON.stringify(bad.slice(0, 140))} is not a tag`)
  if (tags.length <= TAGS_LIMIT) return tags
  throw new Refusal(400, "MANIFEST_INVALID", `more than ${TAGS_LIMIT} tags in one request`)
}

async function manifestBytes(exchange: Exchange): Promise<Uint8Array> {
  if ((contentLength(exchange) ?? 0) > MANIFEST_LIMIT) throw tooLarge()
  try {
    return await readAll(exchange.body, MANIFEST_LIMIT, "the manifest")
  } catch (error) {
    throw error instanceof OvmError && error.code === "OVM_TOO_LARGE" ? tooLarge() : error
  }
}

function tooLarge(): Refusal {
  return new Refusal(413, "SIZE_INVALID", `the manifest is above the limit of ${MANIFEST_LIMIT} bytes`)
}

function digestOf(bytes: Uint8Array, algorithm: "sha256" | "sha512"): BlobDigest {
  return `${algorithm}:${createHash(algorithm).update(bytes).digest("hex")}`
}
