import { open, stat } from "node:fs/promises"
import { join } from "node:path"
import { OvmError } from "../../errors.ts"
import { ifPresent } from "../../files/present.ts"
import { syncDirectory } from "../../files/sync.ts"
import { isObject } from "../../objects.ts"
import { type BlobDigest, isBlobDigest } from "../digest.ts"
import { fileContent } from "../file-content.ts"
import type {
  Client,
  ListEntry,
  NewManifest,
  StoredBlob,
  StoredManifest,
  Upload,
  Writable,
} from "../interfaces.ts"
import {
  digestsIn,
  exists,
  makeDirectory,
  namesInFolder,
  RegistryFiles,
  removeFile,
  textOf,
} from "./files.ts"
import { repositoriesIn } from "./repositories.ts"
import { Gate, Turns } from "./turns.ts"
import { FolderUpload, type UploadFacts } from "./upload.ts"
import { UPLOAD_LIMITS, type UploadLimits, Uploads } from "./uploads.ts"

/** Whose uploads were begun before this process. */
const FORMER: Client = { id: "an earlier process", named: false }
const UUID = /^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/

/** Repositories in a folder: the bytes once, and small files that say what belongs to whom (docs/design/0010). */
export class Folder implements Writable {
  readonly files: RegistryFiles
  /** Writers share it; the sweep has it alone. */
  readonly gate = new Gate()
  readonly uploads: Uploads
  readonly #turns = new Turns()

  constructor(root: string, limits: UploadLimits = UPLOAD_LIMITS) {
    this.files = new RegistryFiles(root)
    this.uploads = new Uploads(limits)
  }

  repositories(): Promise<readonly string[]> {
    return repositoriesIn(this.files)
  }

  async tags(repository: string): Promise<readonly string[] | undefined> {
    const tags = await namesInFolder(this.files.tags(repository))
    if (tags) return tags
    const known = [this.files.manifestLinks(repository), this.files.blobLinks(repository)]
    return (await Promise.all(known.map(exists))).includes(true) ? [] : undefined
  }

  async blob(repository: string, digest: BlobDigest): Promise<StoredBlob | undefined> {
    if (!(await exists(this.#blobLink(repository, digest)))) return undefined
    return this.#stored(digest)
  }

  async manifest(repository: string, reference: string): Promise<StoredManifest | undefined> {
    const digest = isBlobDigest(reference) ? reference : await this.#tagged(repository, reference)
    const link = digest && (await this.#link(repository, digest))
    const stored = link && (await this.#stored(digest))
    return stored && { ...stored, digest, mediaType: link.mediaType }
  }

  referrers(repository: string, subject: BlobDigest): Promise<readonly BlobDigest[]> {
    return digestsIn(this.files.referrers(repository, subject))
  }

  async referrer(
    repository: string,
    subject: BlobDigest,
    digest: BlobDigest,
  ): Promise<ListEntry | undefined> {
    const text = await textOf(join(this.files.referrers(repository, subject), digest))
    // The entry comes before the manifest, which a crash may have kept from coming.
    return text && (await this.#link(repository, digest)) ? (parse(text) as unknown as ListEntry) : undefined
  }

  putManifest(repository: string, manifest: NewManifest, tags: readonly string[]): Promise<void> {
    const { bytes, subject, ...entry } = manifest
    const { files } = this
    return this.#change(repository, async () => {
      const blob = files.blob(entry.digest)
      if (!(await exists(blob))) await files.write(blob, bytes, 0o444)
      if (subject)
        await files.write(join(files.referrers(repository, subject), entry.digest), JSON.stringify(entry))
      const link: Link = { mediaType: entry.mediaType, ...(subject && { subject }) }
      await files.write(this.#manifestLink(repository, entry.digest), JSON.stringify(link))
      await Promise.all(tags.map((tag) => files.write(join(files.tags(repository), tag), entry.digest)))
    })
  }

  deleteManifest(repository: string, digest: BlobDigest): Promise<boolean> {
    return this.#change(repository, async () => {
      const link = await this.#link(repository, digest)
      if (!link) return false
      const tags = (await namesInFolder(this.files.tags(repository))) ?? []
      for (const tag of tags)
        if ((await this.#tagged(repository, tag)) === digest)
          await removeFile(join(this.files.tags(repository), tag))
      await removeFile(this.#manifestLink(repository, digest))
      if (link.subject) await removeFile(join(this.files.referrers(repository, link.subject), digest))
      return true
    })
  }

  deleteTag(repository: string, tag: string): Promise<boolean> {
    return this.#change(repository, () => removeFile(join(this.files.tags(repository), tag)))
  }

  deleteBlob(repository: string, digest: BlobDigest): Promise<boolean> {
    return this.#change(repository, () => removeFile(this.#blobLink(repository, digest)))
  }

  mount(repository: string, digest: BlobDigest, from: string | undefined): Promise<boolean> {
    return this.gate.shared(async () => {
      for (const source of from === undefined ? await this.repositories() : [from]) {
        if (!(await this.blob(source, digest))) continue
        await this.#own(repository, digest)
        return true
      }
      return false
    })
  }

  async beginUpload(repository: string, client: Client): Promise<Upload> {
    await this.uploads.makeRoom(client)
    const upload = this.#register({ repository, id: crypto.randomUUID(), client, size: 0 })
    try {
      await this.gate.shared(async () => {
        await makeDirectory(this.files.uploads(repository))
        await (await open(join(this.files.uploads(repository), upload.id), "wx", 0o600)).close()
      })
    } catch (error) {
      this.uploads.delete(upload.id)
      throw error
    }
    return upload
  }

  async upload(repository: string, id: string): Promise<FolderUpload | undefined> {
    const known = this.uploads.get(id)
    return known?.repository === repository ? known : undefined
  }

  /** Takes up the uploads that an earlier process left; whose they are is not known any more. */
  async adopt(repository: string): Promise<void> {
    for (const id of (await namesInFolder(this.files.uploads(repository))) ?? []) {
      const found = await ifPresent(stat(join(this.files.uploads(repository), id)))
      if (UUID.test(id) && found)
        this.#register({ repository, id, client: FORMER, size: found.size, touched: found.mtimeMs })
    }
  }

  #register(facts: UploadFacts): FolderUpload {
    const { repository, id } = facts
    const place = {
      path: join(this.files.uploads(repository), id),
      blob: (digest: BlobDigest) => this.files.blob(digest),
      admit: (digest: BlobDigest, publish: () => Promise<void>) =>
        this.gate.shared(async () => {
          await publish()
          await this.#own(repository, digest)
        }),
      room: () => this.uploads.admit(upload),
      ended: () => this.uploads.delete(id),
    }
    const upload: FolderUpload = new FolderUpload(facts, place)
    this.uploads.add(upload)
    return upload
  }

  async #own(repository: string, digest: BlobDigest): Promise<void> {
    const path = this.#blobLink(repository, digest)
    await makeDirectory(this.files.blobLinks(repository))
    // Truncated, so that its time says when the repository got it last.
    await (await open(path, "w", 0o600)).close()
    await syncDirectory(this.files.blobLinks(repository))
  }

  #change<T>(repository: string, work: () => Promise<T>): Promise<T> {
    return this.gate.shared(() => this.#turns.take(repository, work))
  }

  async #stored(digest: BlobDigest): Promise<StoredBlob | undefined> {
    const path = this.files.blob(digest)
    const size = (await ifPresent(stat(path)))?.size
    return size === undefined ? undefined : { size, content: fileContent(path) }
  }

  async #tagged(repository: string, tag: string): Promise<BlobDigest | undefined> {
    const text = await textOf(join(this.files.tags(repository), tag))
    return isBlobDigest(text) ? text : undefined
  }

  async #link(repository: string, digest: BlobDigest): Promise<Link | undefined> {
    const text = await textOf(this.#manifestLink(repository, digest))
    return text === undefined ? undefined : (parse(text) as unknown as Link)
  }

  #blobLink(repository: string, digest: BlobDigest): string {
    return join(this.files.blobLinks(repository), digest)
  }

  #manifestLink(repository: string, digest: BlobDigest): string {
    return join(this.files.manifestLinks(repository), digest)
  }
}

interface Link {
  readonly mediaType: string
  readonly subject?: BlobDigest
}

function parse(text: string): Record<string, unknown> {
  const value: unknown = JSON.parse(text)
  if (isObject(value)) return value
  throw new OvmError("OVM_STORE_CORRUPT", "a file of the registry is not a JSON object")
}
