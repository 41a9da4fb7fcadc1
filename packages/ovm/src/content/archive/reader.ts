import { stat } from "node:fs/promises"
import { resolve as absolute } from "node:path"
import { OvmError } from "../../errors.ts"
import { guarded } from "../../files/guarded.ts"
import { openRegular, unreadable } from "../../files/regular.ts"
import type { Descriptor } from "../descriptor.ts"
import { type Digest, digestOf, isDigest } from "../digest.ts"
import type { Bytes, Call, Exister, Fetcher, Lister, ReferrerLister, Resolver } from "../interfaces.ts"
import { missing } from "../layout/blobs.ts"
import { findDigest, findName, type Index, namesIn, rootsOf } from "../layout/names.ts"
import { parseLinks } from "../manifest.ts"
import { MANIFEST_LIMIT } from "../read.ts"
import { hasType, parseReferrer } from "../referrers.ts"
import { digestMismatch, verifiedContent } from "../verify.ts"
import { FileInput } from "./input.ts"
import { scanArchive } from "./scan.ts"

interface Place {
  readonly offset: number
  readonly size: number
}

/**
 * Opens the tar archive of an OCI image layout for reading, in place: it is gone through once and never unpacked.
 * Throws OVM_FILE_UNREADABLE, OVM_UNSUPPORTED for a compressed one, OVM_ARTIFACT_INVALID for what is no such archive.
 */
export function openArchive(path: string, call: Call = {}): Promise<ArchiveReader> {
  return guarded(async () => {
    await checkMagic(path)
    const handle = await openRegular(path)
    try {
      const blobs = new Map<Digest, Place>()
      const input = new FileInput(handle, (await handle.stat()).size, call)
      const index = await scanArchive(input, path, async ({ digest, offset, size }) => {
        blobs.set(digest, { offset, size })
      })
      return new ArchiveReader(absolute(path), index, blobs)
    } finally {
      await handle.close()
    }
  })
}

/** True for a regular file that is a tar archive, compressed or not, rather than a document. */
export async function isArchive(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isFile() && (await magicOf(path)) !== undefined
  } catch (error) {
    throw unreadable(path, error)
  }
}

/** Throws OVM_UNSUPPORTED, naming `what`, for the first bytes of a compressed archive. */
export function refuseCompressed(head: Uint8Array, what: string): void {
  const kind = magic(head)
  if (kind === undefined || kind === "tar") return
  throw new OvmError("OVM_UNSUPPORTED", `${what} is compressed (${kind})`, {
    hint: `disks and snapshots are compressed already; ${kind === "gzip" ? "gunzip" : "unzstd"} it first, or through a pipe into ovm load`,
  })
}

async function checkMagic(path: string): Promise<void> {
  const kind = await magicOf(path)
  if (kind !== undefined && kind !== "tar") refuseCompressed(await headOf(path), path)
}

async function magicOf(path: string): Promise<"tar" | "gzip" | "zstd" | undefined> {
  return magic(await headOf(path))
}

async function headOf(path: string): Promise<Uint8Array> {
  const handle = await openRegular(path)
  try {
    const { bytesRead, buffer } = await handle.read(Buffer.alloc(512), 0, 512, 0)
    return buffer.subarray(0, bytesRead)
  } finally {
    await handle.close()
  }
}

function magic(head: Uint8Array): "tar" | "gzip" | "zstd" | undefined {
  const starts = (...bytes: number[]) => bytes.every((byte, at) => head[at] === byte)
  if (starts(0x1f, 0x8b)) return "gzip"
  if (starts(0x28, 0xb5, 0x2f, 0xfd)) return "zstd"
  return Buffer.from(head.subarray(257, 262)).toString() === "ustar" ? "tar" : undefined
}

export class ArchiveReader implements Fetcher, Exister, Resolver, Lister, ReferrerLister {
  constructor(
    /** Absolute path of the archive. */
    readonly file: string,
    private readonly index: Index,
    private readonly blobs: ReadonlyMap<Digest, Place>,
  ) {}

  fetch(target: Descriptor, call: Call = {}): Promise<Bytes> {
    return guarded(async () => {
      const place = this.blobs.get(target.digest)
      if (!place) throw missing(target.digest, this.file)
      return verifiedContent(this.#read(place, call), target, this.file)
    })
  }

  async exists({ digest, size }: Descriptor): Promise<boolean> {
    return this.blobs.get(digest)?.size === size
  }

  /** As in a layout: a name of index.json, a digest, or anything with `@` and a digest at its end. */
  resolve(reference: string, call: Call = {}): Promise<Descriptor> {
    return guarded(async () => {
      const digest = reference.slice(reference.lastIndexOf("@") + 1)
      const found =
        findName(this.index, reference) ??
        (isDigest(digest)
          ? (findDigest(this.index, digest) ?? (await this.#manifest(digest, call)))
          : undefined)
      if (found) return found
      throw new OvmError("OVM_NAME_UNKNOWN", `${reference} is not in ${this.file}`)
    })
  }

  /** All that its index lists, named or not. */
  async roots(): Promise<Descriptor[]> {
    return rootsOf(this.index)
  }

  async *list(): AsyncIterable<{ reference: string; target: Descriptor }> {
    yield* namesIn(this.index)
  }

  async *referrers(
    subject: Descriptor,
    { artifactType, signal }: Call & { artifactType?: string } = {},
  ): AsyncIterable<Descriptor> {
    const call = signal ? { signal } : {}
    for (const digest of [...this.blobs.keys()].sort()) {
      const bytes = await guarded(() => this.#small(digest, call))
      const found = bytes && parseReferrer(bytes)
      if (found?.subject !== subject.digest || found.descriptor.digest !== digest) continue
      if (hasType(found.descriptor, artifactType)) yield found.descriptor
    }
  }

  async #manifest(digest: Digest, call: Call): Promise<Descriptor | undefined> {
    const bytes = await this.#small(digest, call)
    if (!bytes) return undefined
    const size = bytes.byteLength
    if (digestOf(bytes) !== digest) throw digestMismatch({ digest, size }, digestOf(bytes), this.file)
    try {
      return { mediaType: parseLinks(bytes, digest).mediaType, digest, size }
    } catch {
      // A blob that is no manifest has no name.
      return undefined
    }
  }

  /** A blob that may be a manifest: small, and its first byte opens an object. */
  async #small(digest: Digest, call: Call): Promise<Uint8Array | undefined> {
    const place = this.blobs.get(digest)
    if (!place || place.size > MANIFEST_LIMIT) return undefined
    for await (const first of this.#read({ ...place, size: 1 }, call)) if (first[0] !== 0x7b) return undefined
    return Buffer.concat(await Array.fromAsync(this.#read(place, call)))
  }

  async *#read({ offset, size }: Place, call: Call): Bytes {
    const handle = await openRegular(this.file)
    try {
      const input = new FileInput(handle, Number.POSITIVE_INFINITY, call)
      await input.skip(offset)
      yield* input.content(size)
    } finally {
      await handle.close()
    }
  }
}
