import type { Descriptor } from "./descriptor.ts"
import type { Digest } from "./digest.ts"
import type {
  Bytes,
  Call,
  Downloader,
  Fetcher,
  Incoming,
  Progressing,
  ReferrerFilter,
  ReferrerLister,
  Resolver,
} from "./interfaces.ts"
import { bytesOf, fetchAll } from "./read.ts"

/** Documents are smaller; bytes. */
const SMALL = 256 * 1024
/** Of all that is remembered; bytes. */
const MOST = 16 * 1024 * 1024

type Remote = Fetcher & Downloader & ReferrerLister & Resolver

/**
 * A registry as one pull asks it: a document that it sent, a list, and what a tag stands for are not asked for again.
 * So a pull takes few round trips, and sees one state of what may change meanwhile.
 */
export class Remembered implements Remote {
  readonly #documents = new Map<Digest, Uint8Array>()
  readonly #lists = new Map<string, Followed<Descriptor>>()
  readonly #names = new Map<string, Promise<Descriptor>>()
  #bytes = 0

  constructor(private readonly source: Remote) {}

  /** What was read of it in another way; it must have been verified. */
  know(digest: Digest, bytes: Uint8Array): void {
    if (bytes.byteLength > SMALL || this.#bytes + bytes.byteLength > MOST) return
    this.#documents.set(digest, bytes)
    this.#bytes += bytes.byteLength
  }

  async fetch(target: Descriptor, call?: Call): Promise<Bytes> {
    if (target.size > SMALL) return this.source.fetch(target, call)
    const known = this.#documents.get(target.digest)
    if (known?.byteLength === target.size) return bytesOf(known)
    const bytes = await fetchAll(this.source, target, SMALL, call)
    this.know(target.digest, bytes)
    return bytesOf(bytes)
  }

  download(target: Descriptor, into: Incoming, call?: Progressing): Promise<void> {
    return this.source.download(target, into, call)
  }

  referrers(subject: Descriptor, filter: ReferrerFilter = {}): AsyncIterable<Descriptor> {
    const key = `${subject.digest} ${filter.unread ?? false} ${filter.artifactType ?? ""}`
    const known = this.#lists.get(key) ?? new Followed(this.source.referrers(subject, filter))
    this.#lists.set(key, known)
    return known.follow()
  }

  resolve(reference: string, call?: Call): Promise<Descriptor> {
    const known = this.#names.get(reference) ?? this.source.resolve(reference, call)
    this.#names.set(reference, known)
    return known
  }
}

/** An iteration that is followed several times, each time from its beginning, and goes on as far as somebody wants. */
class Followed<T> {
  readonly #items: T[] = []
  readonly #rest: AsyncIterator<T>
  #next: Promise<boolean> | undefined

  constructor(source: AsyncIterable<T>) {
    this.#rest = source[Symbol.asyncIterator]()
  }

  async *follow(): AsyncIterable<T> {
    for (let at = 0; at < this.#items.length || (await this.#more()); at++) yield this.#items[at] as T
  }

  /** False at the end. One step serves all who wait for it; an error or the end stays. */
  #more(): Promise<boolean> {
    this.#next ??= this.#step()
    return this.#next
  }

  async #step(): Promise<boolean> {
    const { done, value } = await this.#rest.next()
    if (done) return false
    this.#items.push(value)
    this.#next = undefined
    return true
  }
}
