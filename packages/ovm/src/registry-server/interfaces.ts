import type { Bytes } from "../content/interfaces.ts"
import type { BlobDigest } from "./digest.ts"

// What the HTTP layer asks of a storage. Names and digests are checked before they come here. A storage throws
// OvmErrors only.

/** A descriptor as registries list it; its digest may be sha512. */
export interface ListEntry {
  readonly mediaType: string
  readonly digest: BlobDigest
  /** Bytes. */
  readonly size: number
  readonly artifactType?: string
  readonly annotations?: Readonly<Record<string, string>>
}

export interface StoredBlob {
  readonly size: number
  readonly content: Blob
}

export interface StoredManifest extends StoredBlob {
  readonly digest: BlobDigest
  readonly mediaType: string
}

/** What a registry serves. */
export interface Content {
  /** Names of all repositories, sorted. */
  repositories(): Promise<readonly string[]>
  /** Sorted; undefined if there is no such repository. */
  tags(repository: string): Promise<readonly string[] | undefined>
  /** Only what belongs to the repository, wherever else the same bytes are. */
  blob(repository: string, digest: BlobDigest): Promise<StoredBlob | undefined>
  /** `reference` is a tag or a digest. */
  manifest(repository: string, reference: string): Promise<StoredManifest | undefined>
  /** Digests of the manifests whose subject is `subject`, sorted. */
  referrers(repository: string, subject: BlobDigest): Promise<readonly BlobDigest[]>
  /** A referrer as it is listed; undefined if it has gone. */
  referrer(repository: string, subject: BlobDigest, digest: BlobDigest): Promise<ListEntry | undefined>
}

export interface NewManifest extends ListEntry {
  readonly bytes: Uint8Array
  readonly subject?: BlobDigest
}

/** Who a request comes from: the limits are each client's. */
export interface Client {
  readonly id: string
  /** Known by a user's name rather than by an address. */
  readonly named: boolean
}

/** A storage that takes content as well. What it acknowledged survives a crash of the host. */
export interface Writable extends Content {
  /** Replaces older meanings of `tags`. */
  putManifest(repository: string, manifest: NewManifest, tags: readonly string[]): Promise<void>
  /** Also takes the tags away that stand for it. False if it is not there. */
  deleteManifest(repository: string, digest: BlobDigest): Promise<boolean>
  deleteTag(repository: string, tag: string): Promise<boolean>
  deleteBlob(repository: string, digest: BlobDigest): Promise<boolean>
  /** Makes a blob of the repository `from`, or of any, one of `repository` too; false if it is not there. */
  mount(repository: string, digest: BlobDigest, from: string | undefined): Promise<boolean>
  /** One at a limit takes the place of an older one that nobody works on. Throws OVM_TOO_MANY if there is none. */
  beginUpload(repository: string, client: Client): Promise<Upload>
  upload(repository: string, id: string): Promise<Upload | undefined>
}

/** A blob on its way in. It stays, whatever becomes of connections and of this process, until it expires. */
export interface Upload {
  readonly id: string
  /** Bytes that have come. */
  readonly size: number
  /**
   * Adds `content` at the end. False, with nothing read, if `at` is given and is not the end. Of two at once the newer
   * one wins: the older is a connection whose break was not noticed yet. What came before an error stays, but for
   * OVM_TOO_LARGE, which ends the upload: the client has more in unfinished ones than it may.
   */
  append(content: Bytes, at?: number): Promise<boolean>
  /** Makes it a blob of the repository. Throws OVM_DIGEST_MISMATCH, and the upload is gone. */
  commit(digest: BlobDigest): Promise<void>
  cancel(): Promise<void>
}
