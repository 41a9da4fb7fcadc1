import type { Descriptor } from "../../content/descriptor.ts"
import { type Digest, isDigest } from "../../content/digest.ts"
import { LayoutFiles } from "../../content/layout/files.ts"
import { checkMarker, LayoutReaderStore } from "../../content/layout/reader.ts"
import { stampsToRead } from "../../content/layout/reading.ts"
import { isManifest } from "../../content/manifest.ts"
import { OvmError } from "../../errors.ts"
import { guarded } from "../../files/guarded.ts"
import type { BlobDigest } from "../digest.ts"
import { fileContent } from "../file-content.ts"
import type { Content, ListEntry, StoredBlob, StoredManifest } from "../interfaces.ts"
import { LayoutGraph, stampOf } from "./graph.ts"
import { repositoriesOf } from "./names.ts"

/**
 * The content store at `root`, looked at as a registry: names are repositories and tags, and a repository has what
 * hangs on its names. Nothing is written but stamps of what was verified. Throws OVM_FILE_UNREADABLE if there is no
 * store.
 */
export function openStoreView(root: string): Promise<StoreView> {
  return guarded(async () => {
    const files = new LayoutFiles(root)
    await checkMarker(files)
    return new StoreView(files)
  })
}

interface Repository {
  readonly tags: ReadonlyMap<string, Descriptor>
  readonly members: ReadonlyMap<Digest, Descriptor>
}

export class StoreView implements Content {
  readonly #reader: LayoutReaderStore
  readonly #graph: LayoutGraph
  #stamp = ""
  #repositories: Promise<ReadonlyMap<string, Repository>> = Promise.resolve(new Map())

  constructor(private readonly files: LayoutFiles) {
    this.#reader = new LayoutReaderStore(files, stampsToRead(files))
    this.#graph = new LayoutGraph(files)
  }

  async repositories(): Promise<readonly string[]> {
    return [...(await this.#current()).keys()].sort()
  }

  async tags(name: string): Promise<readonly string[] | undefined> {
    const repository = (await this.#current()).get(name)
    return repository && [...repository.tags.keys()].sort()
  }

  async blob(name: string, digest: BlobDigest): Promise<StoredBlob | undefined> {
    const found = await this.#member(name, digest)
    return found && !isManifest(found) ? this.#stored(found) : undefined
  }

  async manifest(name: string, reference: string): Promise<StoredManifest | undefined> {
    const tagged = (await this.#current()).get(name)?.tags.get(reference)
    const found = tagged ?? (await this.#member(name, reference))
    const stored = found && isManifest(found) ? await this.#stored(found) : undefined
    return found && stored && { ...stored, digest: found.digest, mediaType: found.mediaType }
  }

  async referrers(name: string, subject: BlobDigest): Promise<readonly BlobDigest[]> {
    const members = [...((await this.#current()).get(name)?.members.keys() ?? [])]
    return members.filter((digest) => this.#graph.referrer(digest)?.subject === subject).sort()
  }

  async referrer(_name: string, _subject: BlobDigest, digest: BlobDigest): Promise<ListEntry | undefined> {
    return isDigest(digest) ? this.#graph.referrer(digest)?.descriptor : undefined
  }

  async #member(name: string, digest: string): Promise<Descriptor | undefined> {
    return isDigest(digest) ? (await this.#current()).get(name)?.members.get(digest) : undefined
  }

  async #stored(target: Descriptor): Promise<StoredBlob | undefined> {
    try {
      const path = await this.#reader.path(target)
      return path === undefined ? undefined : { size: target.size, content: fileContent(path) }
    } catch (error) {
      // What is damaged is not served: to clients it is absent.
      if (error instanceof OvmError && DAMAGED.has(error.code)) return undefined
      throw error
    }
  }

  async #current(): Promise<ReadonlyMap<string, Repository>> {
    const stamp = await stampOf(this.files)
    if (stamp !== this.#stamp) {
      this.#stamp = stamp
      this.#repositories = this.#read()
      // A failure is told to whoever asked, and is not remembered.
      this.#repositories.catch(() => {
        this.#stamp = ""
      })
    }
    return this.#repositories
  }

  async #read(): Promise<ReadonlyMap<string, Repository>> {
    await this.#graph.refresh()
    const named = repositoriesOf(await Array.fromAsync(this.#reader.list()))
    return new Map(
      [...named].map(([name, { tags, roots }]) => [name, { tags, members: this.#graph.reachable(roots) }]),
    )
  }
}

const DAMAGED: ReadonlySet<string> = new Set(["OVM_DIGEST_MISMATCH", "OVM_SIZE_MISMATCH"])
