import { readFile } from "node:fs/promises"
import { OvmError } from "../errors.ts"
import { guarded } from "../files/guarded.ts"
import type { Descriptor } from "./descriptor.ts"
import { type Digest, digestOf, isDigest } from "./digest.ts"
import type {
  Bytes,
  Call,
  Deleter,
  FileIngester,
  Lister,
  ReferrerLister,
  Store,
  Untagger,
} from "./interfaces.ts"
import { isManifest } from "./manifest.ts"
import { bytesOf } from "./read.ts"
import { hasType, parseReferrer } from "./referrers.ts"
import { abortable, verifiedContent } from "./verify.ts"

/** A store in memory, for small things: artifacts being put together, and tests. */
export class MemoryStore implements Store, FileIngester, Lister, Untagger, Deleter, ReferrerLister {
  readonly #content = new Map<Digest, { target: Descriptor; bytes: Uint8Array }>()
  readonly #names = new Map<string, Descriptor>()

  async fetch(target: Descriptor): Promise<Bytes> {
    const found = this.#content.get(target.digest)
    if (!found) throw missing(target.digest)
    return verifiedContent(bytesOf(found.bytes), target, "memory")
  }

  push(expected: Descriptor, content: Bytes, call: Call = {}): Promise<void> {
    return guarded(async () => {
      if (this.#content.has(expected.digest)) return
      const bytes = Buffer.concat(await Array.fromAsync(verifiedContent(abortable(content, call), expected)))
      this.#content.set(expected.digest, { target: expected, bytes })
    })
  }

  ingestFile(path: string, mediaType: string): Promise<Descriptor> {
    return guarded(async () => {
      const bytes = await readFile(path)
      const target = { mediaType, digest: digestOf(bytes), size: bytes.byteLength }
      this.#content.set(target.digest, { target, bytes })
      return target
    })
  }

  async exists(target: Descriptor): Promise<boolean> {
    return this.#content.get(target.digest)?.bytes.byteLength === target.size
  }

  async resolve(reference: string): Promise<Descriptor> {
    const digest = reference.slice(reference.lastIndexOf("@") + 1)
    const stored = isDigest(digest) ? this.#content.get(digest)?.target : undefined
    const found = this.#names.get(reference) ?? (stored && isManifest(stored) ? stored : undefined)
    if (found) return found
    throw new OvmError("OVM_NAME_UNKNOWN", `${reference} is not in this memory store`)
  }

  async tag(target: Descriptor, reference: string): Promise<void> {
    if (!(await this.exists(target))) throw missing(target.digest)
    this.#names.set(reference, target)
  }

  async *list(): AsyncIterable<{ reference: string; target: Descriptor }> {
    for (const [reference, target] of this.#names) yield { reference, target }
  }

  async untag(reference: string): Promise<void> {
    if (this.#names.delete(reference)) return
    throw new OvmError("OVM_NAME_UNKNOWN", `${reference} is not in this memory store`)
  }

  async delete({ digest }: Descriptor): Promise<void> {
    if (!this.#content.delete(digest)) throw missing(digest)
    for (const [name, target] of this.#names) if (target.digest === digest) this.#names.delete(name)
  }

  async *referrers(
    subject: Descriptor,
    { artifactType }: { artifactType?: string } = {},
  ): AsyncIterable<Descriptor> {
    for (const { target, bytes } of [...this.#content.values()]) {
      const found = isManifest(target) ? parseReferrer(bytes) : undefined
      if (found?.subject === subject.digest && hasType(found.descriptor, artifactType)) yield found.descriptor
    }
  }
}

function missing(digest: Digest): OvmError {
  return new OvmError("OVM_CONTENT_MISSING", `${digest} is not in this memory store`, { detail: { digest } })
}
