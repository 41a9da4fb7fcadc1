import type { Descriptor } from "../content/descriptor.ts"
import { type Digest, digestOf, isDigest } from "../content/digest.ts"
import type {
  Bytes,
  Call,
  Deleter,
  Downloader,
  FilePusher,
  Incoming,
  Mounter,
  Progressing,
  Pushing,
  ReferencePusher,
  ReferrerFilter,
  ReferrerLister,
  Store,
  Untagger,
} from "../content/interfaces.ts"
import { isManifest, MANIFEST_TYPES, parseLinks } from "../content/manifest.ts"
import { fetchAll, MANIFEST_LIMIT, readAll, tooLarge } from "../content/read.ts"
import { parseReferrer, type Referrer } from "../content/referrers.ts"
import { abortable, digestMismatch, sizeMismatch, verifiedContent } from "../content/verify.ts"
import { type ErrorCode, OvmError, toOvmError } from "../errors.ts"
import { readChunks } from "../files/chunks.ts"
import { guarded } from "../files/guarded.ts"
import { descriptorIn, tagsIn } from "./answer.ts"
import { discard } from "./http/http.ts"
import { putManifest } from "./put-manifest.ts"
import { isTag, parseReference } from "./reference.ts"
import { addReferrer, type Fallback, removeReferrer } from "./referrers/fallback.ts"
import { Referrers } from "./referrers/referrers.ts"
import { download, downloadInto, sizeHeader } from "./transfer/download.ts"
import { checkedBody, checkedFile, upload } from "./transfer/upload.ts"
import { cancel, locationOf, type UploadTarget } from "./transfer/upload-session.ts"
import { pages, small } from "./transport/document.ts"
import type { RegistryRequest } from "./transport/request.ts"
import type { Transport } from "./transport/transport.ts"

const ACCEPT = { Accept: MANIFEST_TYPES.join(", ") }

/** A repository of a registry as a store. References to it are tags, digests, or full names in this repository. */
export class HttpStore
  implements Store, Downloader, FilePusher, ReferencePusher, Mounter, Untagger, Deleter, ReferrerLister
{
  readonly #base: string
  readonly #pull: string
  readonly #place: UploadTarget
  readonly #referrers: Referrers

  constructor(
    private readonly transport: Transport,
    readonly repository: string,
  ) {
    this.#base = `/v2/${repository}`
    this.#pull = `repository:${repository}:pull`
    this.#place = { base: this.#base, scope: `repository:${repository}:pull,push` }
    this.#referrers = new Referrers(transport, repository)
  }

  get host(): string {
    return this.transport.host
  }

  /** Transfers at a time that the operator allows; undefined if nothing was said. */
  get maxConcurrency(): number | undefined {
    return this.transport.maxConcurrency
  }

  fetch(target: Descriptor, call: Call = {}): Promise<Bytes> {
    return guarded(() => download(this.transport, { ...this.#about(target, call), method: "GET" }, target))
  }

  /** By ranges, several at a time, and what an earlier attempt left not again. */
  download(target: Descriptor, into: Incoming, call: Progressing = {}): Promise<void> {
    return guarded(() => {
      const request: RegistryRequest = { ...this.#about(target, call), method: "GET" }
      return downloadInto(this.transport, { target, request, into }, call.onBytes)
    })
  }

  exists(target: Descriptor, call: Call = {}): Promise<boolean> {
    return guarded(async () => {
      const found = await this.#head(this.#about(target, call))
      const size = found && sizeHeader(found, target.digest)
      return found !== undefined && (size === undefined || size === target.size)
    })
  }

  /** Asks with HEAD; with GET where the answer to HEAD does not say enough, as some registries' do. */
  resolve(reference: string, call: Call = {}): Promise<Descriptor> {
    return guarded(async () => {
      const name = this.#nameIn(reference)
      const request = this.#named(name, call)
      const { response } = await this.transport.send(request)
      await discard(response)
      const stated = descriptorIn(response.headers, request.what)
      const found = stated ?? (await this.#read(request, response.headers))
      if (isDigest(name) && found.digest !== name)
        throw digestMismatch({ digest: name, size: found.size }, found.digest, `${this.host}'s copy`)
      return found
    })
  }

  /**
   * What `reference` stands for and its verified bytes, by one request; if the answer contradicts itself, as `resolve`
   * and `fetch` get them. Throws what those throw.
   */
  fetchReference(
    reference: string,
    call: Call = {},
  ): Promise<{ readonly descriptor: Descriptor; readonly bytes: Uint8Array }> {
    return guarded(async () => {
      const name = this.#nameIn(reference)
      const { descriptor, bytes, stated } = await this.#whole(this.#named(name, call))
      const promised = isDigest(name) ? name : stated.get("docker-content-digest")
      if (!isDigest(promised) || promised === descriptor.digest) return { descriptor, bytes }
      const resolved = await this.resolve(reference, call)
      return { descriptor: resolved, bytes: await fetchAll(this, resolved, MANIFEST_LIMIT, call) }
    })
  }

  /**
   * A manifest with a `subject` is also entered into the list of its subject's referrers, where the registry leaves
   * that to us.
   */
  push(expected: Descriptor, content: Bytes, call: Pushing = {}): Promise<void> {
    return guarded(async () => {
      if (isManifest(expected)) return this.#pushManifest(expected, content, call)
      if (!call.absent && (await this.exists(expected, call))) return
      const body = await checkedBody(expected, content, call)
      await upload(this.transport, this.#place, { target: expected, body }, call)
    })
  }

  /** The file goes from the disk to the socket without passing through this process; the registry checks its digest. */
  pushFile(expected: Descriptor, path: string, call: Progressing & Pushing = {}): Promise<void> {
    return guarded(async () => {
      if (isManifest(expected)) return this.#pushManifest(expected, readChunks(path, call), call)
      if (!call.absent && (await this.exists(expected, call))) return
      const body = await checkedFile(path)
      if (body.size !== expected.size) throw sizeMismatch(expected, `${body.size}`, path)
      await upload(this.transport, this.#place, { target: expected, body }, call)
    })
  }

  /** One request; a manifest with a `subject` is entered into the list of its subject's referrers as `push` does it. */
  pushReference(expected: Descriptor, content: Bytes, reference: string, call: Call = {}): Promise<void> {
    return guarded(async () => {
      const bytes = await this.#checked(expected, content, call)
      await this.#enterManifest(expected, this.#nameIn(reference), bytes, call)
    })
  }

  tag(target: Descriptor, reference: string, call: Call = {}): Promise<void> {
    return guarded(async () => {
      const bytes = await fetchAll(this, target, MANIFEST_LIMIT, call)
      await this.#putManifest(target, this.#nameIn(reference), bytes, call)
    })
  }

  /** Takes a tag away. Throws OVM_NAME_UNKNOWN, and OVM_REGISTRY_FAILED where the registry cannot do it. */
  untag(reference: string, call: Call = {}): Promise<void> {
    return guarded(async () => {
      const tag = this.#nameIn(reference)
      if (isDigest(tag)) throw new OvmError("OVM_REFERENCE_INVALID", `${reference} is a digest, not a tag`)
      await this.#remove(`manifests/${tag}`, `${this.repository}:${tag}`, "OVM_NAME_UNKNOWN", call)
    })
  }

  /**
   * Deletes a manifest or blob (distribution-spec: "Content Management"). Throws OVM_REGISTRY_FAILED where it is not
   * allowed.
   */
  delete(target: Descriptor, call: Call = {}): Promise<void> {
    return guarded(async () => {
      const { url, what } = this.#about(target, call)
      const referrer = isManifest(target) ? await this.#asReferrer(target, call) : undefined
      await this.#remove(String(url).slice(this.#base.length + 1), what, "OVM_CONTENT_MISSING", call)
      if (referrer && !(await this.#referrers.hasApi(referrer.subject, call)))
        await removeReferrer(this.#fallback(call), referrer.subject, target.digest, call)
    })
  }

  /** By the registry's referrers API, or by the fallback tag where it has none (docs/design/0012). */
  async *referrers(subject: Descriptor, filter: ReferrerFilter = {}): AsyncIterable<Descriptor> {
    try {
      yield* this.#referrers.list(subject.digest, filter)
    } catch (error) {
      throw toOvmError(error)
    }
  }

  mount(target: Descriptor, fromRepository: string, call: Call = {}): Promise<boolean> {
    return guarded(async () => {
      const query = new URLSearchParams({ mount: target.digest, from: fromRepository })
      const what = `mount of ${target.digest} from ${fromRepository}`
      const scope = `${this.#place.scope} repository:${fromRepository}:pull`
      const { response, url } = await this.transport.send({
        ...call,
        method: "POST",
        url: `${this.#base}/blobs/uploads/?${query}`,
        headers: { "Content-Length": "0" },
        scope,
        what,
      })
      await discard(response)
      if (response.status === 201) return true
      // 202: the registry could not, and has begun an upload instead.
      await cancel(this.transport, { scope, what }, locationOf(response, url, this.host, what))
      return false
    })
  }

  /** All tags of the repository. Throws OVM_NAME_UNKNOWN if there is no such repository. */
  async *tags(call: Call = {}): AsyncIterable<string> {
    const what = `the tags of ${this.repository}`
    const url = `${this.#base}/tags/list`
    const absent = "OVM_NAME_UNKNOWN"
    try {
      const request: RegistryRequest = { ...call, method: "GET", url, scope: this.#pull, what, absent }
      for await (const { bytes } of pages(this.transport, request))
        yield* tagsIn(bytes, `${this.host}: ${what}`)
    } catch (error) {
      throw toOvmError(error)
    }
  }

  /** The headers of what HEAD finds; undefined if it is absent. */
  async #head(request: Omit<RegistryRequest, "method">): Promise<Headers | undefined> {
    try {
      const { response } = await this.transport.send({ ...request, method: "HEAD" })
      await discard(response)
      return response.headers
    } catch (error) {
      if (error instanceof OvmError && error.code === request.absent) return undefined
      throw error
    }
  }

  /** A manifest's descriptor from the manifest itself. */
  async #read(request: RegistryRequest, stated: Headers): Promise<Descriptor> {
    const found = await this.#whole(request)
    const promised = stated.get("docker-content-digest")
    if (isDigest(promised) && promised !== found.descriptor.digest)
      throw digestMismatch(
        { digest: promised, size: found.descriptor.size },
        found.descriptor.digest,
        `${this.host}'s copy`,
      )
    return found.descriptor
  }

  async #whole(
    request: RegistryRequest,
  ): Promise<{ descriptor: Descriptor; bytes: Uint8Array; stated: Headers }> {
    const { bytes, response } = await small(this.transport, { ...request, method: "GET" })
    const { mediaType } = parseLinks(bytes, `${this.host}: ${request.what}`)
    const descriptor = { mediaType, digest: digestOf(bytes), size: bytes.byteLength }
    return { descriptor, bytes, stated: response.headers }
  }

  // One with a subject is sent even if it is there: an earlier push may have ended before the list had its entry.
  async #pushManifest(target: Descriptor, content: Bytes, call: Pushing): Promise<void> {
    const bytes = await this.#checked(target, content, call)
    if (!call.absent && !parseReferrer(bytes) && (await this.exists(target, call))) return
    await this.#enterManifest(target, target.digest, bytes, call)
  }

  async #enterManifest(target: Descriptor, name: string, bytes: Uint8Array, call: Call): Promise<void> {
    const answer = await this.#putManifest(target, name, bytes, call)
    const referrer = parseReferrer(bytes)
    if (referrer) await this.#enter(referrer, answer, call)
  }

  async #checked(target: Descriptor, content: Bytes, call: Call): Promise<Uint8Array> {
    if (target.size > MANIFEST_LIMIT) throw tooLarge(`${target.mediaType} ${target.digest}`, MANIFEST_LIMIT)
    return readAll(verifiedContent(abortable(content, call), target), MANIFEST_LIMIT, target.digest)
  }

  /**
   * Unless the registry said that it did, and has the API to show it (distribution-spec: "Pushing Manifests with
   * Subject").
   */
  async #enter({ subject, descriptor }: Referrer, answer: Headers, call: Call): Promise<void> {
    if (answer.has("oci-subject") && (await this.#referrers.hasApi(subject, call))) return
    await addReferrer(this.#fallback(call), subject, descriptor, call)
  }

  async #asReferrer(target: Descriptor, call: Call): Promise<Referrer | undefined> {
    return parseReferrer(await fetchAll(this, target, MANIFEST_LIMIT, call))
  }

  #fallback(call: Call): Fallback {
    const put = async (target: Descriptor, tag: string, bytes: Uint8Array) => {
      await this.#putManifest(target, tag, bytes, call)
    }
    return { referrers: this.#referrers, name: `${this.host}/${this.repository}`, put }
  }

  #putManifest(target: Descriptor, name: string, bytes: Uint8Array, call: Call): Promise<Headers> {
    return putManifest(this.transport, this.#place, { target, name, bytes }, call)
  }

  async #remove(path: string, what: string, absent: ErrorCode, call: Call): Promise<void> {
    const scope = `repository:${this.repository}:delete,pull,push`
    const url = `${this.#base}/${path}`
    const { response } = await this.transport.send({ ...call, method: "DELETE", url, scope, what, absent })
    await discard(response)
  }

  #about(target: Descriptor, call: Call): Omit<RegistryRequest, "method"> {
    const kind = isManifest(target) ? "manifests" : "blobs"
    return {
      ...call,
      url: `${this.#base}/${kind}/${target.digest}`,
      headers: isManifest(target) ? { Accept: target.mediaType } : {},
      scope: this.#pull,
      what: `${target.mediaType} ${target.digest} of ${this.repository}`,
      absent: "OVM_CONTENT_MISSING",
    }
  }

  #named(name: string, call: Call): RegistryRequest {
    return {
      ...call,
      method: "HEAD",
      url: `${this.#base}/manifests/${name}`,
      headers: ACCEPT,
      scope: this.#pull,
      what: `${this.repository}${isDigest(name) ? "@" : ":"}${name}`,
      absent: "OVM_NAME_UNKNOWN",
    }
  }

  /** Tag or digest. Throws OVM_REFERENCE_INVALID for a name of another repository. */
  #nameIn(reference: string): string | Digest {
    if (isDigest(reference) || isTag(reference)) return reference
    const parsed = parseReference(reference)
    if (parsed.host === this.host && parsed.repository === this.repository) return parsed.target
    throw new OvmError("OVM_REFERENCE_INVALID", `${reference} is not in ${this.host}/${this.repository}`)
  }
}
