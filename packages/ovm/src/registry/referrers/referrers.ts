import type { Descriptor } from "../../content/descriptor.ts"
import { type Digest, digestOf, isDigest } from "../../content/digest.ts"
import type { Call, ReferrerFilter } from "../../content/interfaces.ts"
import { OCI_INDEX } from "../../content/manifest.ts"
import { MANIFEST_LIMIT, tooLarge } from "../../content/read.ts"
import { hasType, isAnnotations, parseReferrer } from "../../content/referrers.ts"
import { OvmError } from "../../errors.ts"
import { isObject } from "../../objects.ts"
import { pages, type Small, small } from "../transport/document.ts"
import type { RegistryRequest } from "../transport/request.ts"
import type { Transport } from "../transport/transport.ts"
import { Completion, hasOwnType } from "./completion.ts"

/** Of one list of referrers, all pages together. */
const LIST_LIMIT = 32 * 1024 * 1024
/** How registries say that they have no referrers API: some with a page of text, some with an error of another kind. */
const NO_API: readonly unknown[] = [400, 404, 405, 406, 501]

/** An index as it was found; what we do not know of it is kept. */
export interface ReferrersIndex {
  readonly manifests: readonly Descriptor[]
  readonly [field: string]: unknown
}

/**
 * The referrers of one repository, by the API or by the fallback tag (distribution-spec: "Listing Referrers";
 * docs/design/0012).
 */
export class Referrers {
  readonly #base: string
  readonly #scope: string
  #api: Promise<boolean> | undefined

  constructor(
    private readonly transport: Transport,
    private readonly repository: string,
  ) {
    this.#base = `/v2/${repository}`
    this.#scope = `repository:${repository}:pull`
  }

  /** As ReferrerLister. Throws OVM_REGISTRY_FAILED for what is no list, OVM_TOO_LARGE above 32 MiB. */
  async *list(subject: Digest, filter: ReferrerFilter): AsyncIterable<Descriptor> {
    const { artifactType, unread = false, signal } = filter
    const listed = new Set<string>()
    for await (const entry of this.#entries(subject, filter, signal ? { signal } : {})) {
      const wanted = hasType(entry, artifactType) || (unread && !hasOwnType(entry))
      if (listed.has(entry.digest) || !wanted) continue
      listed.add(entry.digest)
      yield entry
    }
  }

  async *#entries(
    subject: Digest,
    { artifactType, unread = false }: ReferrerFilter,
    call: Call,
  ): AsyncIterable<Descriptor> {
    const query = artifactType === undefined ? "" : `?${new URLSearchParams({ artifactType })}`
    const request = this.#request(`referrers/${subject}${query}`, `the referrers of ${subject}`, call)
    const completion = new Completion((entry) => this.#read(entry, subject, call), request.what)
    // What says that it is of another type is not worth being read.
    const skipped = (entry: Descriptor) => hasOwnType(entry) && !hasType(entry, artifactType)
    let size = 0
    try {
      for await (const page of pages(this.transport, request, LIST_LIMIT)) {
        const entries = entriesOf(page)
        if (!entries) break
        this.#api = Promise.resolve(true)
        size += page.bytes.byteLength
        if (size > LIST_LIMIT) throw tooLarge(request.what, LIST_LIMIT)
        for (const entry of entries)
          if (unread) yield entry
          else if (!skipped(entry)) yield* completion.listed(entry)
      }
      if (await this.#api) return
    } catch (error) {
      if (!isNoApi(error)) throw error
    }
    this.#api = Promise.resolve(false)
    const found = await this.index(subject, call)
    for (const entry of found?.index.manifests ?? [])
      if (unread) yield entry
      else if (!skipped(entry)) yield* completion.written(entry)
  }

  /** Whether the API answers, asked once. Some registries claim it by OCI-Subject and have none. */
  hasApi(subject: Digest, call: Call): Promise<boolean> {
    this.#api ??= this.#ask(subject, call)
    return this.#api
  }

  async #ask(subject: Digest, call: Call): Promise<boolean> {
    try {
      const request = this.#request(`referrers/${subject}`, `the referrers of ${subject}`, call)
      return entriesOf(await small(this.transport, request, LIST_LIMIT)) !== undefined
    } catch (error) {
      if (isNoApi(error)) return false
      this.#api = undefined
      throw error
    }
  }

  /** The index behind the fallback tag, and its digest; undefined if there is none. */
  async index(
    subject: Digest,
    call: Call,
  ): Promise<{ index: ReferrersIndex; digest: Digest; size: number } | undefined> {
    const tag = fallbackTag(subject)
    const request = this.#request(`manifests/${tag}`, `${this.repository}:${tag}`, call)
    let found: Small
    try {
      found = await small(this.transport, { ...request, absent: "OVM_NAME_UNKNOWN" })
    } catch (error) {
      if (error instanceof OvmError && error.code === "OVM_NAME_UNKNOWN") return undefined
      throw error
    }
    const { bytes } = found
    const digest = digestOf(bytes)
    const index = digest === subject ? undefined : parseReferrersIndex(bytes)
    if (index) return { index, digest, size: bytes.byteLength }
    throw new OvmError(
      "OVM_REGISTRY_FAILED",
      `${this.transport.host}: ${request.what} is not an index of referrers: ${otherThanIndex(found, digest === subject)}`,
      { hint: "nothing was changed there; the registry's administrator can say why it answers so" },
    )
  }

  /**
   * What the manifest itself says; undefined if it is gone or belongs to another subject: old lists have such entries.
   */
  async #read(entry: Descriptor, subject: Digest, call: Call): Promise<Descriptor | undefined> {
    const request = this.#request(`manifests/${entry.digest}`, `${this.repository}@${entry.digest}`, call)
    try {
      const headers = { Accept: entry.mediaType }
      const { bytes } = await small(this.transport, { ...request, headers, absent: "OVM_CONTENT_MISSING" })
      if (digestOf(bytes) !== entry.digest) return undefined
      const found = parseReferrer(bytes)
      return found?.subject === subject ? found.descriptor : undefined
    } catch (error) {
      if (error instanceof OvmError && error.code === "OVM_CONTENT_MISSING") return undefined
      throw error
    }
  }

  #request(path: string, what: string, call: Call): RegistryRequest {
    return {
      ...(call.signal && { signal: call.signal }),
      method: "GET",
      url: `${this.#base}/${path}`,
      headers: { Accept: OCI_INDEX },
      scope: this.#scope,
      what,
    }
  }
}

/** The tag that stands for the list of a subject's referrers (distribution-spec: "Referrers Tag Schema"). */
export function fallbackTag(subject: Digest): string {
  return subject.replace(":", "-")
}

/** What stands where an index should. */
function otherThanIndex({ bytes, response }: Small, isSubject: boolean): string {
  if (isSubject)
    return "it is the subject itself, which the registry gives for a tag that looks like its digest"
  const type = response.headers.get("content-type")?.split(";")[0]?.trim() ?? ""
  const page = /html/i.test(type) || /^\s*<(!doctype|html)/i.test(bytes.toString("latin1", 0, 64))
  return page ? "it is a page for a browser (HTML)" : "it is something else, which is left as it is"
}

/** An index with the entries that can be referrers; undefined if it is no index. */
export function parseReferrersIndex(bytes: Uint8Array): ReferrersIndex | undefined {
  if (bytes.byteLength > LIST_LIMIT) return undefined
  let value: unknown
  try {
    value = JSON.parse(new TextDecoder().decode(bytes))
  } catch {
    return undefined
  }
  // A manifest has no `manifests` either, and is no empty list: it would be written over.
  if (!isObject(value) || value.schemaVersion !== 2) return undefined
  if ((value.mediaType ?? OCI_INDEX) !== OCI_INDEX || !(value.mediaType || "manifests" in value))
    return undefined
  // Go tools write null for an empty list.
  const manifests = value.manifests ?? []
  return Array.isArray(manifests) ? { ...value, manifests: manifests.filter(isEntry).map(tidy) } : undefined
}

/** The entries of an answer of the API; undefined for the page that another service puts in its place. */
function entriesOf({ bytes, response }: Small): readonly Descriptor[] | undefined {
  const type = response.headers.get("content-type")?.split(";")[0]?.trim()
  return type === OCI_INDEX || type === "application/json" ? parseReferrersIndex(bytes)?.manifests : undefined
}

function isEntry(value: unknown): value is Descriptor {
  return (
    isObject(value) &&
    typeof value.mediaType === "string" &&
    isDigest(value.digest) &&
    Number.isSafeInteger(value.size) &&
    Number(value.size) >= 0 &&
    Number(value.size) <= MANIFEST_LIMIT
  )
}

/** Fields of a wrong type are as good as absent. */
function tidy(entry: Descriptor): Descriptor {
  const { artifactType, annotations, ...rest } = entry
  return {
    ...rest,
    ...(typeof artifactType === "string" && artifactType !== "" && { artifactType }),
    ...(isAnnotations(annotations) && { annotations }),
  }
}

function isNoApi(error: unknown): boolean {
  if (!(error instanceof OvmError) || error.code === "OVM_TOO_LARGE") return false
  const { detail } = error
  return isObject(detail) && NO_API.includes(detail.status)
}
