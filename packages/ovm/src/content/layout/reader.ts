import { resolve as absolute } from "node:path"
import { OvmError, toOvmError } from "../../errors.ts"
import { guarded } from "../../files/guarded.ts"
import { ifPresent, isAbsent } from "../../files/present.ts"
import { openRegular, readRegular, readRegularSync } from "../../files/regular.ts"
import { isObject } from "../../objects.ts"
import type { Descriptor } from "../descriptor.ts"
import { type Digest, digestOf, isDigest } from "../digest.ts"
import type {
  Bytes,
  Call,
  Exister,
  Fetcher,
  Lister,
  LocalFile,
  ReferrerLister,
  Resolver,
} from "../interfaces.ts"
import { parseLinks } from "../manifest.ts"
import { MANIFEST_LIMIT, tooLarge } from "../read.ts"
import { hasType } from "../referrers.ts"
import { digestMismatch } from "../verify.ts"
import { Blobs } from "./blobs.ts"
import { LayoutFiles } from "./files.ts"
import { referrersIn } from "./manifests.ts"
import { findDigest, findName, namesIn, readIndex, rootsOf } from "./names.ts"
import { MemoryStamps, type Stamps } from "./stamps.ts"

/** A layout that is read, whoever made it. Close it when nothing more is read. */
export type LayoutReader = LayoutReaderStore

/**
 * Opens the OCI image layout at `root` for reading (image-spec: image-layout.md). Throws OVM_FILE_UNREADABLE if there
 * is none, OVM_STORE_CORRUPT if its version is unknown.
 */
export async function readLayout(root: string): Promise<LayoutReader> {
  const files = new LayoutFiles(absolute(root))
  await guarded(() => checkMarker(files))
  return new LayoutReaderStore(files, new MemoryStamps())
}

/**
 * Opens a layout that anybody may have made, such as one that a request names, as `readLayout` does. A pipe or a device
 * in the place of its files is refused instead of waited for, and so is an index above 4 MiB.
 */
export async function readForeignLayout(root: string): Promise<LayoutReader> {
  const files = new LayoutFiles(absolute(root))
  for (const path of [files.marker, files.index]) {
    const handle = await ifPresent(openRegular(path))
    const size = (await handle?.stat())?.size ?? 0
    await handle?.close()
    if (size > MANIFEST_LIMIT) throw tooLarge(path, MANIFEST_LIMIT)
  }
  return readLayout(root)
}

const MARKER_LIMIT = 4096

export async function checkMarker(files: LayoutFiles): Promise<void> {
  const text = markerText(files.marker)
  if (text === undefined)
    throw new OvmError(
      "OVM_FILE_UNREADABLE",
      `${files.root} is not an OCI image layout: it has no file oci-layout`,
    )
  if (isLayoutMarker(text)) return
  throw new OvmError("OVM_STORE_CORRUPT", `${files.marker} does not have imageLayoutVersion 1`)
}

function markerText(path: string): string | undefined {
  try {
    return new TextDecoder().decode(readRegularSync(path, MARKER_LIMIT))
  } catch (error) {
    if (isAbsent(error)) return undefined
    throw error
  }
}

/** True for the text of an `oci-layout` file of a version that we know. */
export function isLayoutMarker(text: string): boolean {
  try {
    const value: unknown = JSON.parse(text)
    return (
      isObject(value) &&
      typeof value.imageLayoutVersion === "string" &&
      value.imageLayoutVersion.startsWith("1.")
    )
  } catch {
    return false
  }
}

export class LayoutReaderStore
  implements Fetcher, Exister, Resolver, Lister, LocalFile, ReferrerLister, AsyncDisposable
{
  protected readonly blobs: Blobs

  constructor(
    protected readonly files: LayoutFiles,
    protected readonly stamps: Stamps,
  ) {
    this.blobs = new Blobs(files, stamps)
  }

  /** Absolute path of the layout. */
  get root(): string {
    return this.files.root
  }

  fetch(target: Descriptor, call: Call = {}): Promise<Bytes> {
    return guarded(() => this.blobs.read(target, call))
  }

  /** The first `length` bytes of a blob, unverified and so for show only; undefined if it is absent or shorter. */
  peek(target: Descriptor, length: number): Uint8Array | undefined {
    return this.blobs.peek(target, length)
  }

  /** Also false for content that is damaged: pushing it again mends it. */
  exists(target: Descriptor, call: Call = {}): Promise<boolean> {
    return guarded(() => this.blobs.has(target, call))
  }

  /** Throws OVM_DIGEST_MISMATCH or OVM_SIZE_MISMATCH if the file is not what `target` names. */
  path(target: Descriptor, call: Call = {}): Promise<string | undefined> {
    return guarded(() => this.blobs.path(target, call))
  }

  /** `reference` is a name of index.json, taken as it is; or a digest; or anything with `@` and a digest at its end. */
  resolve(reference: string, _call: Call = {}): Promise<Descriptor> {
    return guarded(async () => {
      const index = await readIndex(this.files)
      const digest = reference.slice(reference.lastIndexOf("@") + 1)
      const found =
        findName(index, reference) ??
        (isDigest(digest) ? (findDigest(index, digest) ?? (await this.#manifest(digest))) : undefined)
      if (found) return found
      throw new OvmError("OVM_NAME_UNKNOWN", `${reference} is not in ${this.root}`)
    })
  }

  /** A manifest that no entry names: its type is read from itself. */
  async #manifest(digest: Digest): Promise<Descriptor | undefined> {
    const path = this.files.blob(digest)
    const bytes = await ifPresent(readRegular(path, MANIFEST_LIMIT)).catch((error: OvmError) => {
      if (error.code !== "OVM_TOO_LARGE") throw error
    })
    if (!bytes) return undefined
    const size = bytes.byteLength
    if (digestOf(bytes) !== digest) throw digestMismatch({ digest, size }, digestOf(bytes), path)
    try {
      return { mediaType: parseLinks(bytes, path).mediaType, digest, size }
    } catch {
      // A blob that is no manifest has no name.
      return undefined
    }
  }

  /** All that index.json lists, named or not. */
  roots(): Promise<Descriptor[]> {
    return guarded(async () => rootsOf(await readIndex(this.files)))
  }

  async *list(_call: Call = {}): AsyncIterable<{ reference: string; target: Descriptor }> {
    yield* namesIn(await guarded(() => readIndex(this.files)))
  }

  async *referrers(
    subject: Descriptor,
    { artifactType, signal }: Call & { artifactType?: string } = {},
  ): AsyncIterable<Descriptor> {
    try {
      for await (const found of referrersIn(this.files, subject.digest)) {
        signal?.throwIfAborted()
        if (hasType(found, artifactType)) yield found
      }
    } catch (error) {
      throw toOvmError(error)
    }
  }

  /** Nothing is held by one who only reads. */
  async close(): Promise<void> {}

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}
