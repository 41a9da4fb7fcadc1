import { OvmError } from "../errors.ts"
import { guarded } from "../files/guarded.ts"
import { limiter } from "../files/limit.ts"
import type { Descriptor } from "./descriptor.ts"
import type { Digest } from "./digest.ts"
import type {
  Bytes,
  Call,
  Downloader,
  Exister,
  Fetcher,
  FilePusher,
  Ingester,
  LocalFile,
  Mounter,
  Pusher,
  ReferencePusher,
  ReferrerLister,
  Resolver,
  Tagger,
} from "./interfaces.ts"
import { isManifest, parseLinks } from "./manifest.ts"
import { bytesOf, fetchAll, MANIFEST_LIMIT } from "./read.ts"

export type Source = Fetcher & Partial<LocalFile & ReferrerLister & Downloader>
export type Destination = Pusher & Exister & Partial<FilePusher & Mounter & Ingester & ReferencePusher>

/** One step of a copy. `done` and `total` are bytes of this descriptor. */
export interface CopyEvent {
  readonly phase: "exists" | "mounted" | "transfer" | "done"
  readonly descriptor: Descriptor
  readonly done: number
  readonly total: number
}

export interface CopyOptions extends Call {
  /** Transfers at a time; 6 unless told. */
  readonly concurrency?: number
  /**
   * Blobs from so many bytes on come in pieces, and a later copy goes on where one was broken off; 4 MiB unless told.
   */
  readonly largeBytes?: number
  /** A repository of the destination's registry that may have the blobs already. */
  readonly mountFrom?: string
  /** Also what refers to what is copied (signatures, SBOMs, snapshots), what refers to that, and so on. */
  readonly includeReferrers?: boolean
  onProgress?(event: CopyEvent): void
}

export interface NamedCopyOptions extends CopyOptions {
  /** Of what is copied, in the destination. */
  readonly name: string
}

type MaybeNamed = CopyOptions & { readonly name?: string | undefined }

/** Registries wait for their disks between blobs: fewer leave them idle meanwhile. */
const TRANSFERS = 6
const LARGE = 4 * 1024 * 1024
/** Mounts in a row that failed, after which the other repository is taken to have nothing for us. */
const MISSES = 4
/** Manifests in an index in an index …: more than any tool writes. */
const DEPTH_LIMIT = 8
/** Referrers of one graph: more than anybody signs. */
const REFERRER_LIMIT = 20_000

/**
 * Copies what `reference` stands for in `source`, with all that it refers to, and gives it a name in
 * `destination` if one is given. The reference is resolved once: one that moves meanwhile gives what it meant first,
 * whole. Children go before their manifest, so that an interrupted copy leaves no manifest without them. Returns the
 * descriptor of the root. Throws OVM_ARTIFACT_INVALID, OVM_TOO_LARGE (a manifest above 4 MiB), OVM_INTERRUPTED, and
 * what the stores throw.
 */
export async function copy(
  source: Source & Resolver,
  reference: string,
  destination: Destination & Tagger,
  options: MaybeNamed = {},
): Promise<Descriptor> {
  const root = await source.resolve(reference, options)
  const { name, ...others } = options
  if (name === undefined) await copyGraph(source, root, destination, others)
  else await copyNamed(source, root, destination, { ...others, name })
  return root
}

/** Copies as `copy` does, from a descriptor that is known already, and gives it a name in `destination`. */
export async function copyNamed(
  source: Source,
  root: Descriptor,
  destination: Destination & Tagger,
  { name, ...options }: NamedCopyOptions,
): Promise<void> {
  // Not before its referrers: who finds the name may want the signatures.
  const atOnce = destination.pushReference !== undefined && isManifest(root) && !options.includeReferrers
  await run(source, root, destination, { ...options, name: atOnce ? name : undefined })
  if (!atOnce) await destination.tag(root, name, options)
}

/** Copies `root` and all that it refers to, without giving it a name in `destination`. Throws as `copy` does. */
export function copyGraph(
  source: Source,
  root: Descriptor,
  destination: Destination,
  options: CopyOptions = {},
): Promise<void> {
  return run(source, root, destination, options)
}

function run(
  source: Source,
  root: Descriptor,
  destination: Destination,
  { name, ...options }: MaybeNamed,
): Promise<void> {
  return guarded(async () => {
    // What is still on its way when one transfer fails is stopped and waited for: a copy that ended does nothing more.
    const stop = new AbortController()
    const signal = options.signal ? AbortSignal.any([options.signal, stop.signal]) : stop.signal
    const copying = new GraphCopy(source, destination, { ...options, signal }, name)
    try {
      await copying.node(root)
      if (options.includeReferrers) await copying.referrers()
    } catch (error) {
      stop.abort()
      await copying.settled()
      if (options.signal?.aborted)
        throw new OvmError("OVM_INTERRUPTED", "the copy was cancelled", { cause: error })
      throw error
    }
  })
}

class GraphCopy {
  readonly #nodes = new Map<Digest, Promise<void>>()
  readonly #manifests: Descriptor[] = []
  readonly #limited: ReturnType<typeof limiter>
  #misses = 0

  constructor(
    private readonly source: Source,
    private readonly destination: Destination,
    private readonly options: CopyOptions,
    /** Of the root, where it is given together with it. */
    private readonly name: string | undefined,
  ) {
    this.#limited = limiter(options.concurrency ?? TRANSFERS)
  }

  /** Copies a descriptor and what hangs below it, once however often it is referred to. */
  node(target: Descriptor, depth = 0): Promise<void> {
    const known = this.#nodes.get(target.digest)
    if (known) return known
    const copying = isManifest(target)
      ? this.#manifest(target, depth)
      : this.#limited(() => this.#blob(target))
    this.#nodes.set(target.digest, copying)
    return copying
  }

  /**
   * Copies the referrers of all manifests so far, and of those, and so on. Throws OVM_UNSUPPORTED if the source cannot
   * list any.
   */
  async referrers(): Promise<void> {
    const { source, options } = this
    if (!source.referrers) throw new OvmError("OVM_UNSUPPORTED", "the source cannot list referrers")
    let count = 0
    // The list grows while it is gone through.
    for (const subject of this.#manifests) {
      for await (const referrer of source.referrers(subject, options.signal && { signal: options.signal })) {
        if (++count > REFERRER_LIMIT)
          throw new OvmError(
            "OVM_TOO_LARGE",
            `${subject.digest}: more than ${REFERRER_LIMIT} referrers are to be copied`,
          )
        if (isManifest(referrer)) await this.node(referrer)
      }
    }
  }

  async settled(): Promise<void> {
    await Promise.allSettled(this.#nodes.values())
  }

  // The children are looked at even if the manifest is there: a crash of the host may have taken some of them.
  async #manifest(target: Descriptor, depth: number): Promise<void> {
    this.#manifests.push(target)
    if (depth > DEPTH_LIMIT)
      throw new OvmError(
        "OVM_ARTIFACT_INVALID",
        `${target.digest} is nested more than ${DEPTH_LIMIT} indexes deep`,
      )
    const bytes = await this.#limited(() => fetchAll(this.source, target, MANIFEST_LIMIT, this.options))
    const { children, subject } = parseLinks(bytes, `${target.mediaType} ${target.digest}`)
    await Promise.all(children.map((child) => this.node(child, depth + 1)))
    await this.#limited(() => this.#pushManifest(target, bytes, subject !== undefined, depth))
  }

  async #pushManifest(
    target: Descriptor,
    bytes: Uint8Array,
    isReferrer: boolean,
    depth: number,
  ): Promise<void> {
    const { destination, options, name } = this
    const content = bytesOf(bytes)
    if (depth === 0 && name !== undefined && destination.pushReference)
      await destination.pushReference(target, content, name, options)
    // A registry's list of referrers may lack one that is there, so one with a subject is pushed again.
    else if (isReferrer) await destination.push(target, content, options)
    else if (await destination.exists(target, options)) return this.#report("exists", target, target.size)
    else await destination.push(target, content, { ...options, absent: true })
    this.#report("done", target, target.size)
  }

  async #blob(target: Descriptor): Promise<void> {
    this.options.signal?.throwIfAborted()
    if (await this.destination.exists(target, this.options))
      return this.#report("exists", target, target.size)
    if (await this.#mounted(target)) return this.#report("mounted", target, target.size)
    this.#report("transfer", target, 0)
    await this.#transfer(target)
    this.#report("done", target, target.size)
  }

  /** A mount saves time and nothing else: one that fails is no failure, and after a few of them no more are tried. */
  async #mounted(target: Descriptor): Promise<boolean> {
    const { mountFrom } = this.options
    if (mountFrom === undefined || !this.destination.mount || this.#misses >= MISSES) return false
    let mounted = false
    try {
      mounted = await this.destination.mount(target, mountFrom, this.options)
    } catch (error) {
      this.options.signal?.throwIfAborted()
      if (!(error instanceof OvmError)) throw error
    }
    this.#misses = mounted ? 0 : this.#misses + 1
    return mounted
  }

  async #transfer(target: Descriptor): Promise<void> {
    const path = this.destination.pushFile && (await this.source.path?.(target))
    const onBytes = (done: number) => this.#report("transfer", target, done)
    if (path !== undefined && this.destination.pushFile)
      return this.destination.pushFile(target, path, { ...this.options, absent: true, onBytes })
    if (await this.#inPieces(target, onBytes)) return
    const content = await this.source.fetch(target, this.options)
    await this.destination.push(target, this.#counted(target, content), { ...this.options, absent: true })
  }

  /** Fills the blob from several places at once, if both sides can and it is worth it. */
  async #inPieces(target: Descriptor, onBytes: (done: number) => void): Promise<boolean> {
    const { source, destination, options } = this
    if (!source.download || !destination.begin || target.size < (options.largeBytes ?? LARGE)) return false
    await using into = await destination.begin(target, options)
    await source.download(target, into, { onBytes, ...(options.signal && { signal: options.signal }) })
    return true
  }

  async *#counted(target: Descriptor, content: Bytes): Bytes {
    let done = 0
    for await (const chunk of content) {
      yield chunk
      done += chunk.byteLength
      this.#report("transfer", target, done)
    }
  }

  #report(phase: CopyEvent["phase"], descriptor: Descriptor, done: number): void {
    this.options.onProgress?.({ phase, descriptor, done, total: descriptor.size })
  }
}
