import { MANIFEST_LIMIT, readAll } from "../../content/read.ts"
import { OvmError } from "../../errors.ts"
import { readBody } from "../http/http.ts"
import { retry } from "../http/retry.ts"
import type { RegistryRequest } from "./request.ts"
import type { Transport } from "./transport.ts"

/** A small document, whole. */
export interface Small {
  readonly bytes: Buffer
  readonly response: Response
  /** Where it came from, after redirects. */
  readonly from: URL
}

/** Pages of one list; more are taken for a list without an end. */
const PAGES = 1000

/**
 * Throws OVM_TOO_LARGE above `limit` bytes, and what the transport throws. An answer that breaks off is asked for
 * again.
 */
export function small(
  transport: Transport,
  request: RegistryRequest,
  limit = MANIFEST_LIMIT,
): Promise<Small> {
  return retry(transport.limits, request, async () => {
    const answer = await transport.send(request)
    const body = readBody(answer, transport.limits, request)
    const bytes = Buffer.from(await readAll(body, limit, request.what))
    return { bytes, response: answer.response, from: answer.url }
  })
}

/**
 * A list page by page, as far as `Link: <…>; rel="next"` leads (distribution-spec: "Listing Tags", "Listing
 * Referrers"). Throws OVM_REGISTRY_FAILED for a list that leads back to itself or has more than 1000 pages.
 */
export async function* pages(
  transport: Transport,
  request: RegistryRequest,
  limit = MANIFEST_LIMIT,
): AsyncIterable<Small> {
  const seen = new Set<string>()
  let url: string | URL = request.url
  while (true) {
    const page = await small(transport, { ...request, url }, limit)
    yield page
    const next = nextPage(page)
    if (!next) return
    if (seen.has(next.href) || seen.size >= PAGES)
      throw new OvmError(
        "OVM_REGISTRY_FAILED",
        `${transport.host}: ${request.what}: the list has no end: page ${seen.size + 2} is ${seen.has(next.href) ? "one that was read before" : "one too many"}`,
      )
    seen.add(next.href)
    url = next
  }
}

function nextPage({ response, from }: Small): URL | undefined {
  const [, link] = /<([^>]+)>\s*;\s*rel="?next"?/.exec(response.headers.get("link") ?? "") ?? []
  return link !== undefined && URL.canParse(link, from.href) ? new URL(link, from) : undefined
}
