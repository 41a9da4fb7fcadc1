import { MANIFEST_LIMIT } from "../content/read.ts"
import { type BlobDigest, blobDigest } from "./digest.ts"
import type { Exchange } from "./exchange.ts"
import type { ListEntry } from "./interfaces.ts"
import { after, nextPage, PAGE_LIMIT, pageOf } from "./page.ts"
import { unknownRepository } from "./refusal.ts"

const INDEX = "application/vnd.oci.image.index.v1+json"

/** GET /v2/_catalog, which is not in the standard, but many tools have it. */
export async function getCatalog({ content, url }: Exchange): Promise<Response> {
  const { entries, headers } = pageOf(await content.repositories(), url)
  return Response.json({ repositories: entries }, { headers })
}

/** GET …/tags/list (distribution-spec: "Listing Tags"). */
export async function getTags({ content, url }: Exchange, repository: string): Promise<Response> {
  const tags = await content.tags(repository)
  if (!tags) throw unknownRepository(repository)
  const { entries, headers } = pageOf(tags, url)
  return Response.json({ name: repository, tags: entries }, { headers })
}

/**
 * GET …/referrers/DIGEST (distribution-spec: "Listing Referrers"): 200 whether there are any or not. A page ends before
 * it is larger than a manifest may be, since clients read it as one.
 */
export async function getReferrers(exchange: Exchange, repository: string, id: string): Promise<Response> {
  const { content, url } = exchange
  const subject = blobDigest(id)
  const wanted = url.searchParams.get("artifactType") || undefined
  const digests = await content.referrers(repository, subject)
  const manifests: ListEntry[] = []
  let bytes = 0
  let last: BlobDigest | undefined
  let complete = true
  for (const digest of digests.slice(after(digests, url.searchParams.get("last")))) {
    const entry = await content.referrer(repository, subject, digest)
    if (entry && (wanted === undefined || entry.artifactType === wanted)) {
      bytes += Buffer.byteLength(JSON.stringify(entry)) + 1
      complete = manifests.length === 0 || (bytes < MANIFEST_LIMIT - 1024 && manifests.length < PAGE_LIMIT)
      if (!complete) break
      manifests.push(entry)
    }
    last = digest
  }
  const headers = {
    "Content-Type": INDEX,
    ...(wanted !== undefined && { "OCI-Filters-Applied": "artifactType" }),
    ...(!complete && last && nextPage(url, last)),
  }
  return new Response(JSON.stringify({ schemaVersion: 2, mediaType: INDEX, manifests }), { headers })
}
