import { existsSync, mkdirSync } from "node:fs"
import { stat } from "node:fs/promises"
import { resolve as absolute, dirname } from "node:path"
import { OvmError } from "../../errors.ts"
import { guarded } from "../../files/guarded.ts"
import { replaceFile } from "../../files/replace.ts"
import { lock } from "../../host/lock.ts"
import type { Descriptor } from "../descriptor.ts"
import type { Digest } from "../digest.ts"
import type {
  Bytes,
  Call,
  FileIngester,
  FilePusher,
  Incoming,
  Ingester,
  Store,
  Taking,
  Untagger,
} from "../interfaces.ts"
import { abortable, digestMismatch, sizeMismatch, verifiedContent } from "../verify.ts"
import { hashFile, missing } from "./blobs.ts"
import { LayoutFiles } from "./files.ts"
import { Ingest, type Intake, settleBlobs } from "./ingest.ts"
import { type LongLease, NamedLease, namedLeases, SessionLease } from "./leases.ts"
import {
  EMPTY_INDEX,
  findName,
  type Index,
  readIndex,
  withName,
  withoutName,
  withRoot,
  writeIndex,
} from "./names.ts"
import { PartialBlob } from "./partial.ts"
import { checkMarker, LayoutReaderStore } from "./reader.ts"
import { keepReserve, withReserve } from "./reserve.ts"
import { FileStamps } from "./stamps.ts"

export interface LayoutOptions {
  /** Makes the layout, with mode 0700, if there is none. */
  readonly create?: boolean
  /**
   * Whether a push returns only when the content survives a crash of the host. True unless told; see docs/design/0011.
   */
  readonly durable?: boolean
}

/**
 * Opens the OCI image layout at `root` as a store. One open store is one operation: what it touched stays safe from the
 * collector until `close()` or the end of the process. So open one an operation, and do not keep one for ever.
 * Throws OVM_FILE_UNREADABLE if there is no layout, OVM_STORE_CORRUPT, OVM_STORE_BUSY, OVM_PERMISSION_DENIED.
 */
export function openLayout(root: string, options: LayoutOptions = {}): Promise<LayoutStore> {
  return guarded(async () => {
    const files = new LayoutFiles(absolute(root))
    // The marker is the last that is made.
    if (options.create && !existsSync(files.marker)) await create(files)
    await checkMarker(files)
    for (const path of [files.blobs, files.ingest, files.leases, files.verified]) makeDirectory(path)
    keepReserve(files)
    return new LayoutStore(files, options.durable ?? true)
  })
}

async function create(files: LayoutFiles): Promise<void> {
  makeDirectory(dirname(files.lock))
  using _ = await lock(files.lock, "exclusive")
  makeDirectory(files.ingest)
  const options = { mode: 0o600, durable: true, by: files.ingest }
  if (!existsSync(files.index)) await replaceFile(files.index, `${JSON.stringify(EMPTY_INDEX)}\n`, options)
  if (!existsSync(files.marker)) await replaceFile(files.marker, '{"imageLayoutVersion":"1.0.0"}', options)
}

function makeDirectory(path: string): void {
  mkdirSync(path, { recursive: true, mode: 0o700 })
}

export class LayoutStore
  extends LayoutReaderStore
  implements Store, FilePusher, FileIngester, Ingester, Untagger
{
  readonly #session: SessionLease
  readonly #into: Intake
  readonly #displaced: Descriptor[] = []

  constructor(
    files: LayoutFiles,
    private readonly durable: boolean,
  ) {
    super(files, new FileStamps(files.verified))
    this.#into = { files, stamps: this.stamps, durable }
    this.#session = new SessionLease(files)
  }

  override fetch(target: Descriptor, call: Call = {}): Promise<Bytes> {
    return guarded(async () => {
      await this.#session.add(target)
      return super.fetch(target, call)
    })
  }

  override exists(target: Descriptor, call: Call = {}): Promise<boolean> {
    return guarded(async () => {
      await this.#session.add(target)
      return super.exists(target, call)
    })
  }

  override path(target: Descriptor, call: Call = {}): Promise<string | undefined> {
    return guarded(async () => {
      await this.#session.add(target)
      return super.path(target, call)
    })
  }

  override resolve(reference: string, call: Call = {}): Promise<Descriptor> {
    return guarded(async () => {
      using _ = await lock(this.files.lock, "shared", call)
      const found = await super.resolve(reference, call)
      await this.#session.add(found)
      return found
    })
  }

  /**
   * Keeps `targets` from the collector as looking at each of them would, all by one write: for whoever is about to do
   * so.
   */
  hold(targets: readonly Descriptor[]): Promise<void> {
    return guarded(() => this.#session.add(...targets))
  }

  /**
   * Has what is here survive a crash of the host, as what this stores itself does if it is durable: it may have been
   * pulled. Throws OVM_CONTENT_MISSING.
   */
  settle(targets: readonly Descriptor[], call: Call = {}): Promise<void> {
    return guarded(async () => {
      for (const target of targets)
        if (!(await this.exists(target, call))) throw missing(target.digest, this.root)
      await settleBlobs(
        this.#into,
        targets.map(({ digest }) => digest),
      )
    })
  }

  /** Whether it is there, and stored as this stores. */
  async #has(target: Descriptor, call: Call): Promise<boolean> {
    if (!(await this.exists(target, call))) return false
    if (this.durable) await settleBlobs(this.#into, [target.digest])
    return true
  }

  push(expected: Descriptor, content: Bytes, call: Call = {}): Promise<void> {
    return guarded(async () => {
      if (await this.#has(expected, call)) return
      await using ingest = await Ingest.begin(this.#into)
      await ingest.write(verifiedContent(abortable(content, call), expected))
      await ingest.commit(expected.digest)
    })
  }

  /** Stores a copy of the file `path`, which must hold exactly `expected`, as `push` does. */
  pushFile(expected: Descriptor, path: string, call: Call = {}): Promise<void> {
    return guarded(async () => {
      if (await this.#has(expected, call)) return
      await using ingest = await Ingest.begin(this.#into)
      const { digest, size } = await ingest.copyOf(path, call)
      if (size !== expected.size) throw sizeMismatch(expected, `${size}`, path)
      if (digest !== expected.digest) throw digestMismatch(expected, digest, path)
      await ingest.commit(digest)
    })
  }

  /** A blob in pieces. Whether it is there already is the caller's to ask. */
  begin(expected: Descriptor, call: Call = {}): Promise<Incoming> {
    return guarded(async () => {
      await this.#session.add(expected)
      return PartialBlob.begin(this.#into, expected, call)
    })
  }

  /** Read once, but where a blob of the same size is here: it may be the same, and then nothing has to be copied. */
  ingestFile(path: string, mediaType: string, call: Taking = {}): Promise<Descriptor> {
    return guarded(async () => {
      const given = call.given && (await this.#given(path, call.given, mediaType))
      if (given) return given
      const { size } = await stat(path)
      if (await this.blobs.anyOf(size)) {
        const found = { mediaType, digest: await hashFile(path, call), size }
        if (await this.#has(found, call)) return found
      }
      await using ingest = await Ingest.begin(this.#into)
      const copied = { mediaType, ...(await ingest.copyOf(path, call)) }
      if (!(await this.#has(copied, call))) await ingest.commit(copied.digest)
      return copied
    })
  }

  /** Takes the file itself; undefined where it is on another file system. */
  async #given(path: string, digest: Digest, mediaType: string): Promise<Descriptor | undefined> {
    const given = await Ingest.given(this.#into, path)
    if (!given) return undefined
    await using ingest = given
    const taken = { mediaType, digest, size: ingest.size }
    if (!(await this.#has(taken, {}))) await ingest.commit(digest)
    return taken
  }

  /** Stores what comes, whatever it is, and says what that was. Throws what `content` throws. */
  ingest(content: Bytes, mediaType: string, call: Call = {}): Promise<Descriptor> {
    return guarded(async () => {
      await using ingest = await Ingest.begin(this.#into)
      const taken = { mediaType, ...(await ingest.take(content)) }
      if (!(await this.#has(taken, call))) await ingest.commit(taken.digest)
      return taken
    })
  }

  tag(target: Descriptor, reference: string, call: Call = {}): Promise<void> {
    return guarded(async () => {
      if (!(await this.exists(target, call))) throw missing(target.digest, this.root)
      await this.#update((index) => {
        const before = findName(index, reference)
        if (before && before.digest !== target.digest) this.#displaced.push(before)
        return withName(index, reference, target)
      }, call)
    })
  }

  /** What names stood for that this store gave to something else. */
  get displaced(): readonly Descriptor[] {
    return this.#displaced
  }

  /**
   * Lists `target` in index.json without a name, for tools that look for referrers there. It stays until the entry is
   * removed.
   */
  enter(target: Descriptor, call: Call = {}): Promise<void> {
    return guarded(async () => {
      await this.#update((index) => withRoot(index, target), call)
    })
  }

  untag(reference: string, call: Call = {}): Promise<void> {
    return guarded(async () => {
      const changed = await this.#update((index) => withoutName(index, reference), call)
      if (!changed) throw new OvmError("OVM_NAME_UNKNOWN", `${reference} is not in ${this.root}`)
    })
  }

  async #update(change: (index: Index) => Index | undefined, call: Call): Promise<boolean> {
    this.#session.giveWay()
    using _ = await lock(this.files.lock, "exclusive", call)
    const changed = change(await readIndex(this.files))
    if (changed) await withReserve(this.files, () => writeIndex(this.files, changed))
    return changed !== undefined
  }

  /**
   * A lease that outlives this store and this process, by its id: one that exists is continued. What it holds here need
   * not be `durable` for whoever lets go of it, or gives it a name, before a crash of the host would matter.
   */
  lease(id: string, durable = this.durable): LongLease {
    return new NamedLease(this.files, id, durable)
  }

  /** The leases of that kind with what they hold. */
  leases(): Promise<{ id: string; digests: Digest[] }[]> {
    return guarded(async () =>
      (await namedLeases(this.files)).map(({ id, targets }) => ({
        id,
        digests: targets.map((t) => t.digest),
      })),
    )
  }

  /** Lets go of what this store held. It cannot be used any more. */
  override close(): Promise<void> {
    return guarded(() => this.#session.release())
  }
}
