import { isSnapshot, readSnapshot, type Snapshot } from "../artifact/snapshot/read.ts"
import { Cache } from "../cache/cache.ts"
import type { Descriptor } from "../content/descriptor.ts"
import type { Digest } from "../content/digest.ts"
import type { Call } from "../content/interfaces.ts"
import { releaseLease } from "../content/layout/leases.ts"
import { readLayout } from "../content/layout/reader.ts"
import { type LayoutStore, openLayout } from "../content/layout/store.ts"
import { OvmError, toOvmError } from "../errors.ts"
import type { Paths } from "../host/paths.ts"
import type { SecretFinding } from "../ram/scan.ts"
import { isPath, parseReference } from "../registry/reference.ts"
import { RegistryLanes } from "../registry/transfer/lanes.ts"
import { rounded } from "../rounded.ts"
import type { Policy, PolicyInfo } from "../signing/policy/policy.ts"
import { MachinesOfIndexes } from "./behind.ts"
import { collectImages } from "./collect.ts"
import { commitMachine } from "./commit.ts"
import { machineOf } from "./machine.ts"
import {
  admit,
  findImage,
  type ImageTarget,
  LEASE,
  leaseOf,
  OpenImage,
  type OpenImageOptions,
  pinned,
} from "./open.ts"
import type { PreparedImage, PreparedSnapshot } from "./prepared.ts"
import type { Registries } from "./pull.ts"
import { contentOf, type Root, readRoot } from "./root.ts"
import { refuseOther, storeSnapshot, type TakenSnapshot } from "./snapshot.ts"
import { collectInVain } from "./take-in.ts"

/** What an instance needs as long as it is on record. */
export type Held = Pick<Descriptor, "digest" | "mediaType">

/** What an instance was started from: the machine, and the index that it was found through. */
export interface Origin {
  readonly base: Descriptor
  readonly index?: Descriptor
}

export interface ImagesOptions extends Pick<Registries, "settings" | "credentials"> {
  /** Told of a store that is damaged, which fails otherwise. */
  readonly damaged?: (error: OvmError) => void
}

/**
 * Makes the store at `root` if there is none; `cache` is where inflated RAM goes. Nothing is prepared but what `policy`
 * admits. A store that is damaged is told to `damaged`, where that is given: what needs no image goes on without it.
 */
export async function openImages(
  root: string,
  cache: string,
  policy: Policy,
  { settings, credentials, damaged }: ImagesOptions = {},
): Promise<Images> {
  try {
    await (await openLayout(root, { create: true })).close()
  } catch (thrown) {
    if (!damaged) throw thrown
    damaged(toOvmError(thrown))
  }
  const registries = {
    ...(settings !== undefined && { settings }),
    ...(credentials && { credentials }),
    lanes: new RegistryLanes(),
  }
  return new Images({ store: root, cache }, policy, registries)
}

/**
 * So many artifacts are remembered: reading one again takes longer than all else that is done for a start of what was
 * run before.
 */
const MOST_ROOTS = 64

/** The images of one store. A runtime sees files and leases, never a registry. */
export class Images {
  private readonly cache: Cache
  /** By type and digest, which says all that is in it. */
  private readonly roots = new Map<string, Root>()
  private readonly machines = new MachinesOfIndexes()

  constructor(
    private readonly place: Pick<Paths, "store" | "cache">,
    private readonly policy: Policy,
    private readonly registries: Registries,
  ) {
    this.cache = new Cache(place.cache)
  }

  /**
   * From a name or path to files that a VMM may open (spec/oci-mapping.md, spec/disk.md, spec/policy.md,
   * spec/security.md). Resolves once and pins the digest. Whoever opens it closes it. Throws OVM_POLICY_REFUSED,
   * OVM_POLICY_INVALID, OVM_NAME_UNKNOWN, OVM_CONTENT_MISSING, OVM_ARTIFACT_INVALID, OVM_MANIFEST_INVALID,
   * OVM_DISK_INVALID, OVM_KERNEL_INVALID, OVM_DIGEST_MISMATCH and what a registry can fail with; then nothing is
   * leased.
   */
  async open(reference: string, options: OpenImageOptions): Promise<OpenImage> {
    const { place } = this
    // Whatever it has to fetch can be fetched again, and no machine that holds something outlives the host.
    const store = await openLayout(place.store, { create: true, durable: false })
    try {
      return await this.#open(store, reference, options)
    } catch (error) {
      await store.lease(leaseOf(options.lease)).release()
      await store.close()
      await collectInVain(place, error)
      throw error
    }
  }

  /**
   * `open` of what an instance was started from before, by its digest: `asked` is what it was asked for by then. What
   * the instance holds it goes on holding, also if this fails.
   */
  async openAgain(
    asked: string,
    { base, index }: Origin,
    options: Omit<OpenImageOptions, "pull" | "platform">,
  ): Promise<OpenImage> {
    const store = await openLayout(this.place.store, { create: true, durable: false })
    try {
      const began = performance.now()
      await this.policy.check()
      const located = pinned(store, asked, { target: base, ...(index && { index }) })
      return await this.#opened(store, located, { ...options, pull: "never", resume: false }, began)
    } catch (error) {
      await store.close()
      throw error
    }
  }

  async #open(store: LayoutStore, text: string, options: OpenImageOptions): Promise<OpenImage> {
    const began = performance.now()
    const { active } = await this.policy.check()
    const found = { policy: this.policy, strict: active }
    const located = await findImage(store, text, found, { ...options, ...this.registries })
    return await this.#opened(store, located, options, began)
  }

  async #opened(
    store: LayoutStore,
    located: ImageTarget,
    options: OpenImageOptions,
    began: number,
  ): Promise<OpenImage> {
    const { place, cache, policy, registries } = this
    const lease = leaseOf(options.lease)
    await store.lease(lease).add(located.target)
    const resolved = performance.now()
    await options.onPhase?.("verifying")
    const found = await this.machines.behind(store, located, options)
    const { reference, target, index } = found
    if (index) await store.lease(lease).add(index, target)
    const { machine: artifact, snapshot } = await this.rootOf(store, target, options)
    // A name may stand for a machine, perhaps with RAM beside it, or for a snapshot, which brings its base along.
    const root = { machine: artifact, ...(snapshot && options.resume !== false && { snapshot }) }
    if (artifact.descriptor.digest !== target.digest) await store.lease(lease).add(artifact.descriptor)
    const warnings = await admit(policy, found, root, options)
    const { machine, chain } = await machineOf(store, artifact, reference?.toString(), options)
    const image = {
      ...machine,
      digest: target.digest,
      ...(index && { index }),
      warnings: [...machine.warnings, ...warnings],
      timings: { resolve: rounded(resolved - began), verify: rounded(performance.now() - resolved) },
    }
    return new OpenImage(
      { place, cache, policy, registries },
      store,
      { located: found, root, chain, lease },
      image,
    )
  }

  /** The artifact behind `target`. It is read once; later it is only made sure that it is still there and whole. */
  private async rootOf(store: LayoutStore, target: Descriptor, call: Call): Promise<Root> {
    const key = `${target.mediaType} ${target.digest}`
    const known = this.roots.get(key)
    if (known) await store.hold(contentOf(known))
    if (known && (await store.exists(target, call)) && (await store.exists(known.machine.descriptor, call)))
      return known
    const root = await readRoot(store, target, call)
    if (this.roots.size >= MOST_ROOTS) this.roots.clear()
    this.roots.set(key, root)
    return root
  }

  /** `openAgain` of what a name of this host stands for. Throws OVM_NAME_UNKNOWN too. */
  async openNamed(text: string, options: Omit<OpenImageOptions, "pull" | "platform">): Promise<OpenImage> {
    const reference = parseReference(text).toString()
    const store = await readLayout(this.place.store)
    return await this.openAgain(reference, { base: await store.resolve(reference, options) }, options)
  }

  /**
   * What a name stands for on this host, without a look at the content; undefined for paths, for what is not here and
   * for what is no name.
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

  /** True if the policy as it is now let an image pass by that name, and need not be asked again (OVMS-POL-084). */
  isAdmitted(
    reference: string,
    used: {
      readonly image: Pick<PreparedImage, "base">
      readonly snapshot?: Pick<PreparedSnapshot, "digest">
    },
  ): boolean {
    return this.policy.isAdmitted(reference, used.image.base.digest, used.snapshot?.digest)
  }

  /** What policy holds here. */
  policyInfo(): Promise<PolicyInfo> {
    return this.policy.info()
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

  /** True if an `open` with `pull: "never"` that threw `error` might succeed with `pull: "missing"`. */
  canPull(reference: string, error: OvmError): boolean {
    if (error.code !== "OVM_NAME_UNKNOWN" && error.code !== "OVM_CONTENT_MISSING") return false
    return !isPath(reference) && parseReference(reference).host !== undefined
  }

  /** Gives back what the instance held; the next garbage collection may remove it. */
  async release(instance: string): Promise<void> {
    await releaseLease(this.place.store, leaseOf(instance))
    await this.cache.release(leaseOf(instance))
  }

  /**
   * Stores a snapshot of a machine, as its VMM left it in files, under the name `name`, and leases it to the instance.
   * The RAM file becomes this host's cached copy, so that it can be resumed here at once. The instance holds no more of
   * it than the disk, which its next snapshots refer to again. Throws OVM_STATE_CONFLICT if `name` stands for something
   * else than a snapshot, and what compressing and storing can throw; then there is no new name.
   */
  async storeSnapshot(taken: TakenSnapshot, name: string, call: Call = {}): Promise<Snapshot> {
    const { snapshot, replaced } = await this.#store(taken, name, call)
    if (replaced) await this.collect(call)
    return snapshot
  }

  /** Frees what nothing holds any more (OVMS-SNP-151). That it cannot be done now is nobody's failure. */
  async collect(call: Call = {}): Promise<void> {
    await collectImages(this.place, call).catch(() => {})
  }

  async #store(taken: TakenSnapshot, name: string, call: Call) {
    await using store = await openLayout(this.place.store)
    await refuseOther(store, name, call)
    const descriptor = await storeSnapshot(store, this.cache, taken, call)
    // Until it has its name the open store holds it, as all that came in by it.
    const snapshot = await readSnapshot(store, descriptor, call)
    const chains = [snapshot.overlays, ...snapshot.disks.map((disk) => disk.overlays)]
    const overlays = chains.flat().map((overlay) => overlay.descriptor)
    if (overlays.length > 0) await store.lease(leaseOf(taken.lease)).add(...overlays)
    await store.tag(descriptor, name, call)
    return { snapshot, replaced: store.displaced.length > 0 }
  }

  /** commitMachine into this host's store; the instance of that lease holds it until dropCommit. */
  async writeCommit(
    opened: OpenImage,
    what: Parameters<typeof commitMachine>[2],
    call: Call = {},
  ): ReturnType<typeof commitMachine> {
    return await commitMachine(this.place.store, opened, { ...what, lease: leaseOf(what.lease) }, call)
  }

  /** The instance holds a machine of writeCommit no more: it has its name, or never will. */
  async dropCommit(descriptor: Descriptor, instance: string): Promise<void> {
    await using store = await openLayout(this.place.store)
    await store.lease(leaseOf(instance)).drop(descriptor)
  }

  /** Gives a machine that writeCommit stored its name; what had it goes, unless something else holds it. */
  async nameCommit(descriptor: Descriptor, name: string, call: Call = {}): Promise<void> {
    if (await this.#named(descriptor, name, call)) await this.collect(call)
  }

  /** True if it was another's name before. */
  async #named(descriptor: Descriptor, name: string, call: Call): Promise<boolean> {
    await using store = await openLayout(this.place.store)
    await store.tag(descriptor, name, call)
    return store.displaced.length > 0
  }

  /** Looks for secrets in the sparse RAM file `path` and in the text `beside` it, as scanRam does. */
  async findSecrets(
    path: string,
    call: Call & { readonly beside?: string } = {},
  ): Promise<readonly SecretFinding[]> {
    // Loaded where it is used, and in threads of its own.
    const { scanRam } = await import("../ram/scan.ts")
    return await scanRam(path, call)
  }

  /** Throws OVM_STATE_CONFLICT if a snapshot cannot be called `name`: asked before the machine is held up for it. */
  async checkSnapshotName(name: string, call: Call = {}): Promise<void> {
    await using store = await openLayout(this.place.store)
    await refuseOther(store, name, call)
  }

  /**
   * Gives back the leases of all instances but these, which hold at least this afterwards, whatever became of their
   * leases.
   */
  async keepLeases(instances: ReadonlyMap<string, readonly Held[]>): Promise<void> {
    await using store = await openLayout(this.place.store)
    const held = new Map((await store.leases()).map(({ id, digests }) => [id, digests]))
    for (const id of held.keys())
      if (id.startsWith(LEASE) && !instances.has(id.slice(LEASE.length))) {
        await store.lease(id).release()
        await this.cache.release(id)
      }
    for (const [instance, wanted] of instances) {
      const id = leaseOf(instance)
      const lost = wanted.filter(({ digest }) => !held.get(id)?.includes(digest))
      if (lost.length > 0) await store.lease(id).add(...lost)
    }
  }
}
