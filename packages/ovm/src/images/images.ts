import type { DiskFormat, OvmsManifest } from "../artifact/manifest.ts"
import { type Artifact, readArtifact } from "../artifact/read.ts"
import { isSnapshot, readInlineSnapshot, readSnapshot, type Snapshot } from "../artifact/snapshot-read.ts"
import { Cache } from "../cache/cache.ts"
import type { Descriptor } from "../content/descriptor.ts"
import type { Digest } from "../content/digest.ts"
import type { Call } from "../content/interfaces.ts"
import { readLayout } from "../content/layout/reader.ts"
import { type LayoutStore, openLayout } from "../content/layout/store.ts"
import { OvmError } from "../errors.ts"
import type { Paths } from "../paths.ts"
import type { Finding } from "../ram/scan.ts"
import { isPath, parseReference } from "../registry/reference.ts"
import { type Chain, machineOf } from "./machine.ts"
import { namedSnapshots } from "./named.ts"
import { importPath } from "./path.ts"
import { pullImage } from "./pull.ts"
import {
  type PreparedSnapshot,
  prepareSnapshot,
  refuseOther,
  storeSnapshot,
  type TakenSnapshot,
} from "./snapshot.ts"
import { takeIn } from "./take-in.ts"

/** An image whose every byte is local, verified, inspected and leased: what a runtime needs to know of it. */
export interface PreparedImage {
  /** As it was asked for, in canonical form; of a path: `localhost/<name>`. */
  readonly reference: string
  readonly digest: Digest
  /** The OCI manifest of the machine; of a snapshot, that of its base. */
  readonly base: Descriptor
  readonly manifest: OvmsManifest
  readonly kernel?: { readonly path: string }
  readonly initrd?: { readonly path: string }
  /** From base to top. */
  readonly layers: readonly { readonly path: string; readonly format: DiskFormat }[]
  /** Of the disk that the guest sees, in bytes; 0 without a disk. */
  readonly virtualSize: number
  readonly warnings: readonly string[]
  /** What to go on from, where the name stands for a snapshot; everything else is its base's then. */
  readonly snapshot?: PreparedSnapshot
  /** Milliseconds. */
  readonly timings: { readonly resolve: number; readonly verify: number }
}

export type UntimedImage = Omit<PreparedImage, "timings">

/** The snapshot to go on from, if any, or why there is none, in words. */
export interface Choice {
  readonly snapshot?: Snapshot
  readonly warning?: string
}

export interface PrepareOptions extends Call {
  /** Id of the instance that will use it; its lease holds the content until `release`. */
  readonly lease: string
  /** never: throw what is missing. missing: fetch what is not here. */
  readonly pull: "never" | "missing"
  /** Of a machine that the name stands for: what of its local snapshots to go on from. The newest comes first. */
  readonly choose?: (machine: UntimedImage, snapshots: () => Promise<readonly Snapshot[]>) => Promise<Choice>
  /** False: a snapshot's base, or a machine with RAM beside it, is to boot. */
  readonly resume?: boolean
  readonly onPhase?: (phase: "resolving" | "pulling" | "verifying") => Promise<void>
}

const LEASE = "instance-"

/** Makes the store at `root` if there is none; `cache` is where inflated RAM goes. */
export async function openImages(root: string, cache: string): Promise<Images> {
  await (await openLayout(root, { create: true })).close()
  return new Images({ store: root, cache })
}

/** The images of one store. A runtime sees files and leases, never a registry. */
export class Images {
  private readonly cache: Cache

  constructor(private readonly place: Pick<Paths, "store" | "cache">) {
    this.cache = new Cache(place.cache)
  }

  /**
   * From a name or path to files that a VMM may open (spec/oci-mapping.md, spec/disk.md, spec/security.md). Resolves once and
   * pins the digest. Throws OVM_NAME_UNKNOWN, OVM_CONTENT_MISSING, OVM_ARTIFACT_INVALID, OVM_MANIFEST_INVALID,
   * OVM_DISK_INVALID, OVM_KERNEL_INVALID, OVM_DIGEST_MISMATCH and what a registry can fail with; then nothing is leased.
   */
  async prepare(reference: string, options: PrepareOptions): Promise<PreparedImage> {
    // Whatever it has to fetch can be fetched again.
    return await takeIn(this.place, { durable: false }, async (store) => {
      const lease = store.lease(LEASE + options.lease)
      try {
        const began = performance.now()
        const found = await locate(store, reference, options)
        await lease.add(found.target)
        const resolved = performance.now()
        await options.onPhase?.("verifying")
        const image = await verify(store, this.cache, found, options)
        return {
          ...image,
          timings: { resolve: round(resolved - began), verify: round(performance.now() - resolved) },
        }
      } catch (error) {
        await lease.release()
        throw error
      }
    })
  }

  /**
   * What a name stands for on this host, without a look at the content; undefined for paths, for what is not here and for what
   * is no name.
   */
  async resolve(text: string): Promise<{ reference: string; digest: Digest } | undefined> {
    if (isPath(text)) return undefined
    try {
      // No lock and no lease: the index is replaced by rename, and nothing is opened that a collector could take away.
      const store = await readLayout(this.place.store)
      const reference = parseReference(text).toString()
      return { reference, digest: (await store.resolve(reference)).digest }
    } catch (error) {
      if (error instanceof OvmError) return undefined
      throw error
    }
  }

  /** The snapshot that a name stands for on this host. Throws OVM_NAME_UNKNOWN, OVM_UNSUPPORTED if it is none. */
  async snapshot(text: string, call: Call = {}): Promise<Snapshot> {
    const reference = parseReference(text).toString()
    await using store = await openLayout(this.place.store)
    const target = await store.resolve(reference, call)
    if (await isSnapshot(store, target, call)) return await readSnapshot(store, target, call)
    throw new OvmError("OVM_UNSUPPORTED", `${reference} is not a snapshot`, {
      detail: [{ pointer: "/manifest", reason: "not a snapshot" }],
      hint: "ovm snapshot ID --tag TAG",
    })
  }

  /** True if a `prepare` that threw `error` might succeed with `pull: "missing"`. */
  canPull(reference: string, error: OvmError): boolean {
    if (error.code !== "OVM_NAME_UNKNOWN" && error.code !== "OVM_CONTENT_MISSING") return false
    return !isPath(reference) && parseReference(reference).host !== undefined
  }

  /** Gives back what the instance held; the next garbage collection may remove it. */
  async release(instance: string): Promise<void> {
    await using store = await openLayout(this.place.store)
    await store.lease(LEASE + instance).release()
    await this.cache.release(LEASE + instance)
  }

  /**
   * Stores what `take` made of a machine as a snapshot called `name`, and leases it to the instance. The RAM file becomes this
   * host's cached copy, so that it can be resumed here at once. Throws OVM_STATE_CONFLICT if `name` stands for something else
   * than a snapshot, and what compressing and storing can throw; then there is no new name.
   */
  async storeSnapshot(taken: TakenSnapshot, name: string, call: Call = {}): Promise<Snapshot> {
    await using store = await openLayout(this.place.store)
    await refuseOther(store, name, call)
    const descriptor = await storeSnapshot(store, this.cache, taken, call)
    await store.lease(LEASE + taken.lease).add(descriptor)
    const snapshot = await readSnapshot(store, descriptor, call)
    await store.tag(descriptor, name, call)
    return snapshot
  }

  /** Looks for secrets in the sparse RAM file `path`, as scanRam does. */
  async findSecrets(path: string, call: Call = {}): Promise<readonly Finding[]> {
    // Loaded where it is used, and in threads of its own.
    const { scanRam } = await import("../ram/scan.ts")
    return await scanRam(path, call)
  }

  /** Throws OVM_STATE_CONFLICT if a snapshot cannot be called `name`: asked before the machine is held up for it. */
  async checkSnapshotName(name: string, call: Call = {}): Promise<void> {
    await using store = await openLayout(this.place.store)
    await refuseOther(store, name, call)
  }

  /** Gives back the leases of all instances but these. */
  async keepLeases(instances: readonly string[]): Promise<void> {
    await using store = await openLayout(this.place.store)
    const kept = new Set(instances.map((id) => LEASE + id))
    for (const { id } of await store.leases())
      if (id.startsWith(LEASE) && !kept.has(id)) {
        await store.lease(id).release()
        await this.cache.release(id)
      }
  }
}

interface Located {
  /** Undefined for a path. */
  readonly reference?: string
  readonly target: Descriptor
}

async function locate(store: LayoutStore, text: string, options: PrepareOptions): Promise<Located> {
  if (isPath(text)) return { target: await importPath(store, text, options) }
  const reference = parseReference(text)
  const name = reference.toString()
  try {
    const target = await store.resolve(name, options)
    return { reference: name, target }
  } catch (error) {
    if (options.pull === "never" || !(error instanceof OvmError && error.code === "OVM_NAME_UNKNOWN"))
      throw error
  }
  await options.onPhase?.("pulling")
  return { reference: name, target: await pullImage(store, reference, options) }
}

/** A name may stand for a machine or for a snapshot, which brings its base along. */
async function verify(
  store: LayoutStore,
  cache: Cache,
  { reference, target }: Located,
  options: PrepareOptions,
): Promise<UntimedImage> {
  const call = { ...options, holder: LEASE + options.lease }
  const prepare = (snapshot: Snapshot, reference: string, chain: Chain) =>
    prepareSnapshot(store, cache, snapshot, { reference, chain }, call)
  if (!(await isSnapshot(store, target, options))) {
    const artifact = await readArtifact(store, target, options)
    const { machine, chain } = await machineOf(store, artifact, reference, options)
    const image = { ...machine, digest: target.digest }
    const { snapshot, warning } = await snapshotOf(store, artifact, image, options)
    if (warning !== undefined) return { ...image, warnings: [...image.warnings, warning] }
    if (!snapshot) return image
    return { ...image, snapshot: await prepare(snapshot, machine.reference, chain) }
  }
  const snapshot = await readSnapshot(store, target, options)
  const base = await readArtifact(store, snapshot.base, options)
  await store.lease(LEASE + options.lease).add(base.descriptor)
  const { machine, chain } = await machineOf(store, base, reference, options)
  const image = { ...machine, digest: target.digest }
  if (options.resume === false) return image
  return { ...image, snapshot: await prepare(snapshot, machine.reference, chain) }
}

/** What a machine goes on from though its own name was given: a snapshot of it on this host, or RAM that came with it. */
async function snapshotOf(
  store: LayoutStore,
  artifact: Artifact,
  image: UntimedImage,
  options: PrepareOptions,
): Promise<Choice> {
  if (options.resume === false) return {}
  const inline = await readInlineSnapshot(store, artifact, options)
  if (inline) return { snapshot: inline }
  const choice = await options.choose?.(image, () => namedSnapshots(store, artifact.descriptor, options))
  if (choice?.snapshot) await store.lease(LEASE + options.lease).add(choice.snapshot.descriptor)
  return choice ?? {}
}

function round(duration: number): number {
  return Math.round(duration * 100) / 100
}
