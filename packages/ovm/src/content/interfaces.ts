import type { Extent } from "../files/extents.ts"
import type { Descriptor } from "./descriptor.ts"
import type { Digest } from "./digest.ts"

/** Content on its way: chunks of any size, in order. */
export type Bytes = AsyncIterable<Uint8Array>

/** What every call that may take time accepts. */
export interface Call {
  readonly signal?: AbortSignal
}

// Every store has these five. Each is one method, so that a function asks for no more than it uses.

export interface Fetcher {
  /**
   * The content of `target`, verified while it streams: the iteration throws OVM_DIGEST_MISMATCH or OVM_SIZE_MISMATCH
   * instead of ending if the bytes are not those that `target` names. Throws OVM_CONTENT_MISSING at once if it is
   * absent.
   */
  fetch(target: Descriptor, call?: Call): Promise<Bytes>
}

export interface Pushing extends Call {
  /** Whoever pushes has just asked, and it is not there: it need not be asked again. */
  readonly absent?: boolean
}

export interface Pusher {
  /**
   * Stores `content`, which must be exactly what `expected` names; otherwise nothing is stored and the error is
   * OVM_DIGEST_MISMATCH or OVM_SIZE_MISMATCH. Pushing what is there already succeeds without reading `content`.
   * Manifests (by media type) may be pushed only after what they refer to.
   */
  push(expected: Descriptor, content: Bytes, call?: Pushing): Promise<void>
}

export interface Exister {
  exists(target: Descriptor, call?: Call): Promise<boolean>
}

export interface Resolver {
  /** The descriptor behind a tag, full name or digest. Throws OVM_NAME_UNKNOWN. */
  resolve(reference: string, call?: Call): Promise<Descriptor>
}

export interface Tagger {
  /** Gives `target`, which must exist, one more name; an older meaning of the name is replaced. */
  tag(target: Descriptor, reference: string, call?: Call): Promise<void>
}

export interface Store extends Fetcher, Pusher, Exister, Resolver, Tagger {}

// Optional powers. A caller asks whether the method is there (`"path" in store`).

export interface Lister {
  /** All names with what they stand for. */
  list(call?: Call): AsyncIterable<{ readonly reference: string; readonly target: Descriptor }>
}

export interface Untagger {
  /** Takes a name away. Throws OVM_NAME_UNKNOWN. The content goes with the next garbage collection. */
  untag(reference: string, call?: Call): Promise<void>
}

export interface LocalFile {
  /**
   * Absolute path of a file that holds exactly the content of `target`, never to be written to; undefined if absent.
   */
  path(target: Descriptor): Promise<string | undefined>
}

export interface FilePusher {
  /**
   * Pushes the content in the file `path`, and throws, as `push` does: for transports and file systems that copy files
   * faster.
   */
  pushFile(expected: Descriptor, path: string, call?: Progressing & Pushing): Promise<void>
}

export interface FileIngester {
  /**
   * Stores a copy of the file `path`, whatever is in it, and says what it is. The copy, not the file, is what was
   * hashed, so a file that is written to meanwhile does no harm. A file that may be there already is read first, and
   * told of as far as it was read. Throws OVM_FILE_UNREADABLE, OVM_PERMISSION_DENIED, OVM_NO_SPACE.
   */
  ingestFile(path: string, mediaType: string, call?: Taking): Promise<Descriptor>
}

export interface Taking extends Progressing {
  /**
   * Of a file that was written by this process and that nobody else has: where the file system allows, it becomes the
   * blob itself, unread, and is gone from its place.
   */
  readonly given?: Digest
}

export interface ReferencePusher {
  /** Stores a manifest, whether it is there or not, and gives it a name, in one step. Throws as `push` and `tag`. */
  pushReference(expected: Descriptor, content: Bytes, reference: string, call?: Call): Promise<void>
}

export interface IncomingFile {
  readonly fd: number
  /** For messages. */
  readonly path: string
  /** Tells that `extent` was written. With `alongside` its writer hashes everything itself, and will call `hashed`. */
  wrote(extent: Extent, alongside: boolean): void
  /** Tells the digest of everything, from the bytes that were written. */
  hashed(digest: Digest): void
}

/** A blob on its way into a store, written in any order. What it has survives `abort` and the death of the process. */
export interface Incoming extends AsyncDisposable {
  /** What is not written yet, in order; at the beginning less than everything if an earlier attempt was broken off. */
  missing(): readonly Extent[]
  /** Puts `chunks`, one after the other, at byte `at`. They must not change before it returns. */
  writeAt(chunks: readonly Uint8Array[], at: number): Promise<void>
  /**
   * The file that it is in, for threads of this process that write to it by themselves, not after the end of `commit`
   * or `abort`.
   */
  readonly file?: IncomingFile
  /**
   * Makes it a blob, once nothing is missing. Throws OVM_DIGEST_MISMATCH if it is not what was expected; then
   * everything is missing again, and it may be filled once more.
   */
  commit(): Promise<void>
  /** Forgets what is written: everything is missing again. */
  reset(): Promise<void>
  /** Lets go of it; a later attempt goes on from here. Also what leaving an `await using` block does. */
  abort(): Promise<void>
}

export interface Ingester {
  /** Begins, or goes on with, the blob `expected`. One writer at a time has what was left; others begin anew. */
  begin(expected: Descriptor, call?: Call): Promise<Incoming>
}

export interface Progressing extends Call {
  /** Told how many bytes of the content have come, those of earlier attempts included. */
  onBytes?(done: number): void
}

export interface Downloader {
  /**
   * Fills `into`, which was begun for `target`, with its content and commits it: for sources that read from several
   * places at once.
   */
  download(target: Descriptor, into: Incoming, call?: Progressing): Promise<void>
}

export interface Mounter {
  /**
   * Makes `target` available here out of another repository of the same registry, without moving bytes; false if it
   * could not.
   */
  mount(target: Descriptor, fromRepository: string, call?: Call): Promise<boolean>
}

export interface ReferrerFilter extends Call {
  readonly artifactType?: string
  /**
   * Entries as a registry's list has them: annotations may be missing, and those whose type it does not say are not
   * left out. For whoever reads the manifests anyway.
   */
  readonly unread?: boolean
}

export interface ReferrerLister {
  /**
   * The manifests that have `subject` as their `subject` (distribution-spec: "Listing Referrers"), each with its
   * artifactType, or in its place the type of its config, and its annotations; with `artifactType`, those of that type
   * only. None if the subject is absent. What a registry lists is not proven: whoever relies on a referrer fetches and
   * verifies it.
   */
  referrers(subject: Descriptor, options?: ReferrerFilter): AsyncIterable<Descriptor>
}

export interface Deleter {
  /**
   * Removes content and, but for a few registries, every name that stands for it. Throws OVM_CONTENT_MISSING. What it
   * refers to stays.
   */
  delete(target: Descriptor, call?: Call): Promise<void>
}
