import { randomUUID } from "node:crypto"
import type { IncomingMessage, ServerResponse } from "node:http"
import { digestOf, parsed, type Repository } from "./content.ts"

/** Looks at a request first: true if it has answered, or will never. */
export type Fault = (request: IncomingMessage, response: ServerResponse, path: string) => boolean

/** What of the distribution-spec this registry does without. */
export interface Manners {
  /** Answers the referrers API; 404 otherwise. */
  referrers: boolean
  /** Sends `OCI-Subject` for a manifest that has one. */
  subjectHeader: boolean
  /** So many entries a page of referrers. */
  page: number
  fault: Fault
}

/** What is served. */
export interface Served {
  readonly repository: Repository
  readonly manners: Manners
  /** Bytes of bodies that were handed to the system. */
  sent: number
}

export interface Exchange {
  readonly method: string
  readonly url: URL
  readonly request: IncomingMessage
  readonly response: ServerResponse
  body(): Promise<Buffer>
}

const INDEX = "application/vnd.oci.image.index.v1+json"
const PLACE = /^\/v2\/(.+)\/(manifests|blobs\/uploads|blobs|referrers|tags)\/([^/]*)$/

/** Uploads that are open, by their names; where one goes on has how much has come in its query. */
const uploads = new Map<string, Buffer[]>()

const lengthOf = (chunks: readonly Buffer[]) => chunks.reduce((sum, { length }) => sum + length, 0)

/** Answers as the distribution-spec v1.1 says, but for what the manners leave out. */
export async function serve(registry: Served, exchange: Exchange): Promise<void> {
  const { url, response } = exchange
  if (url.pathname === "/v2/" || url.pathname === "/v2") return end(response, 200, {}, "{}")
  const [, repository = "", kind, name = ""] = PLACE.exec(url.pathname) ?? []
  const place = `/v2/${repository}`
  if (kind === "manifests") return await manifests(registry, exchange, name)
  if (kind === "blobs") return blobs(registry, exchange, name)
  if (kind === "blobs/uploads") return await upload(registry, exchange, place, name)
  if (kind === "referrers" && registry.manners.referrers) return referrers(registry, exchange, name)
  if (kind === "tags") {
    const tags = [...registry.repository.tags.keys()].sort()
    return json(response, 200, { name: repository, tags })
  }
  refuse(response, 404, "NOT_FOUND")
}

async function manifests(registry: Served, exchange: Exchange, reference: string): Promise<void> {
  const { method, request, response } = exchange
  const { repository, manners } = registry
  if (method === "PUT") {
    const bytes = await exchange.body()
    const manifest = parsed(bytes)
    const needed = [manifest.config, ...(manifest.layers ?? [])].flatMap((one) => one?.digest ?? [])
    if (needed.some((digest) => !repository.blobs.has(digest)))
      return refuse(response, 400, "MANIFEST_BLOB_UNKNOWN")
    const tag = reference.startsWith("sha256:") ? undefined : reference
    if (tag === undefined && digestOf(bytes) !== reference) return refuse(response, 400, "DIGEST_INVALID")
    const digest = repository.put(bytes, request.headers["content-type"] ?? "", tag)
    const subject = manifest.subject?.digest
    return end(response, 201, {
      "docker-content-digest": digest,
      location: exchange.url.pathname,
      ...(subject && manners.subjectHeader && { "oci-subject": subject }),
    })
  }
  const digest = repository.resolve(reference)
  const found = digest === undefined ? undefined : repository.manifests.get(digest)
  if (!found || digest === undefined) return refuse(response, 404, "MANIFEST_UNKNOWN")
  const headers = { "content-type": found.mediaType, "docker-content-digest": digest }
  content(registry, exchange, found.bytes, headers)
}

function blobs(registry: Served, exchange: Exchange, digest: string): void {
  const bytes = registry.repository.blobs.get(digest)
  if (!bytes) {
    refuse(exchange.response, 404, "BLOB_UNKNOWN")
    return
  }
  const headers = { "content-type": "application/octet-stream", "docker-content-digest": digest }
  content(registry, exchange, bytes, headers)
}

/** A body in whole, or the one range that was asked for. */
function content(
  registry: Served,
  { method, request, response }: Exchange,
  bytes: Buffer,
  headers: object,
): void {
  const [, from = "", to = ""] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? "") ?? []
  const first = from === "" ? 0 : Number(from)
  const last = Math.min(to === "" ? bytes.length - 1 : Number(to), bytes.length - 1)
  if (from !== "" && first >= bytes.length) {
    refuse(response, 416, "RANGE")
    return
  }
  const part = bytes.subarray(first, last + 1)
  const range = from === "" ? {} : { "content-range": `bytes ${first}-${last}/${bytes.length}` }
  const body = method === "HEAD" ? undefined : part
  registry.sent += body?.length ?? 0
  response.writeHead(from === "" ? 200 : 206, { ...headers, ...range, "content-length": part.length })
  response.end(body)
}

async function upload(registry: Served, exchange: Exchange, place: string, name: string): Promise<void> {
  const { method, url, response } = exchange
  const { repository } = registry
  const wanted = url.searchParams.get("digest")
  const kept = (bytes: Buffer) => {
    if (digestOf(bytes) !== wanted) return refuse(response, 400, "DIGEST_INVALID")
    repository.blob(bytes)
    uploads.delete(name)
    end(response, 201, { location: `${place}/blobs/${wanted}`, "docker-content-digest": wanted })
  }
  if (method === "POST") {
    const bytes = await exchange.body()
    if (wanted !== null) return kept(bytes)
    const id = randomUUID()
    uploads.set(id, [])
    return end(response, 202, { location: `${place}/blobs/uploads/${id}?has=0`, range: "0-0" })
  }
  const chunks = uploads.get(name)
  if (!chunks || url.searchParams.get("has") !== String(lengthOf(chunks)))
    return refuse(response, 404, "BLOB_UPLOAD_UNKNOWN")
  if (method === "GET" || method === "PATCH") {
    if (method === "PATCH") chunks.push(await exchange.body())
    const size = lengthOf(chunks)
    const location = `${place}/blobs/uploads/${name}?has=${size}`
    const headers = { location, range: `0-${Math.max(size - 1, 0)}` }
    return end(response, method === "PATCH" ? 202 : 204, headers)
  }
  if (method === "PUT") return kept(Buffer.concat([...chunks, await exchange.body()]))
  uploads.delete(name)
  end(response, 204)
}

/** A page of the list; the next one is said by `Link`. */
function referrers(registry: Served, { url, response }: Exchange, subject: string): void {
  const { page } = registry.manners
  const all = registry.repository.referrers(subject)
  const from = Number(url.searchParams.get("from") ?? 0)
  const next = from + page < all.length ? { link: `<${url.pathname}?from=${from + page}>; rel="next"` } : {}
  json(response, 200, { schemaVersion: 2, mediaType: INDEX, manifests: all.slice(from, from + page) }, next)
}

export function json(response: ServerResponse, status: number, value: object, headers: object = {}): void {
  end(response, status, { "content-type": INDEX, ...headers }, JSON.stringify(value))
}

function refuse(response: ServerResponse, status: number, code: string): void {
  end(
    response,
    status,
    { "content-type": "application/json" },
    JSON.stringify({ errors: [{ code, message: code }] }),
  )
}

function end(response: ServerResponse, status: number, headers: object = {}, body = ""): void {
  response.writeHead(status, { ...headers, "content-length": Buffer.byteLength(body) })
  response.end(body)
}
