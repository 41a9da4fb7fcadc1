import type { Artifact } from "../artifact/machine/read.ts"
import { isSnapshot, readSnapshot, type Snapshot } from "../artifact/snapshot/read.ts"
import { Cache } from "../cache/cache.ts"
import type { Descriptor } from "../content/descriptor.ts"
import type { Digest } from "../content/digest.ts"
import type { Call } from "../content/interfaces.ts"
import { releaseLease } from "../content/layout/leases.ts"
import { readLayout } from "../content/layout/reader.ts"
import { type LayoutStore, openLayout } from "../content/layout/store.ts"
import { OCI_MANIFEST } from "../content/manifest.ts"
import { OvmError, toOvmError } from "../errors.ts"
import type { Paths } from "../host/paths.ts"
import type { SecretFinding } from "../ram/scan.ts"
import { isPath, parseReference, type Reference } from "../registry/reference.ts"
import { RegistryLanes } from "../registry/transfer/lanes.ts"
import { rounded } from "../rounded.ts"
import type { EvidenceSource } from "../signing/interfaces.ts"
import type { Policy, PolicyInfo } from "../signing/policy/policy.ts"
import { isRefusal } from "../signing/policy/refused.ts"
import { evidenceIn } from "../signing/source.ts"
import { collectImages } from "./collect.ts"
import { machineOf } from "./machine.ts"
import { namedSnapshots } from "./named-snapshots.ts"
import { importPath } from "./path.ts"
import type { PreparedImage, UntimedImage } from "./prepared.ts"
import { type PullOptions, pullImage } from "./pull.ts"
import { resolveHere } from "./resolve.ts"
import { askedOf, type Root, readRoot } from "./root.ts"
import { prepareSnapshot, refuseOther, storeSnapshot, type TakenSnapshot } from "./snapshot.ts"
import { takeIn } from "./take-in.ts"

/** The snapshot to go on from, if any, or why there is none, in words. */
export interface Choice {
  readonly snapshot?: Snapshot
  readonly warnings?: readonly string[]
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
  readonly onPhase?: (phase: "resolving" | "pulling" | "verifying") => void | Promise<void>
}

const LEASE = "instance-"

/** How registries are reached; their lanes are what all pulls of one daemon have in common. */
type Registries = Pick<PullOptions, "settings" | "lanes">

export interface ImagesOptions extends Pick<Registries, "settings"> {
  /** Told of a store that is damaged, which fails otherwise. */
  readonly damaged?: (error: OvmError) => void
}

/**
 * Makes the store at `root` if there is none; `cache` is where inflated RAM goes. Nothing is prepared but what `policy` admits. A
 * store that is damaged is told to `damaged`, where that is given: what needs no image goes on without it.
 */
export async function openImages(
  root: string,
  cache: string,
  policy: Policy,
  { settings, damaged }: ImagesOptions = {},
): Promise<Images> {
  try {
    await (await openLayout(root, { create: true })).close()
  } catch (thrown) {
    if (!damaged) throw thrown
    damaged(toOvmError(thrown))
  }
  const registries = { ...(settings !== undefined && { settings }), lanes: new RegistryLanes() }
  return new Images({ store: root, cache }, policy, registries)
}

/** So many artifacts are not read again, which takes longer than all else that is done for one that was run before. */
const MOST_ROOTS = 64

/** The images of one store. A runtime sees files and leases, never a registry. */
export class Images {
  private readonly cache: Cache
  /** By type and digest, which says all that is in it. */
  private readonly roots = new Map<string, Root>()

  constructor(
    private readonly place: Pick<Paths, "store" | "cache">,
    private readonly policy: Policy,
    private readonly registries: Registries,
  ) {
    this.cache = new Cache(place.cache)
  }

  /**
   * From a name or path to files that a VMM may open (spec/oci-mapping.md, spec/disk.md, spec/policy.md, spec/security.md).
   * Resolves once and pins the digest. Throws OVM_POLICY_REFUSED, OVM_POLICY_INVALID, OVM_NAME_UNKNOWN, OVM_CONTENT_MISSING,
   * OVM_ARTIFACT_INVALID, OVM_MANIFEST_INVALID, OVM_DISK_INVALID, OVM_KERNEL_INVALID, OVM_DIGEST_MISMATCH and what a registry
   * can fail with; then nothing is leased.
   */
  async prepare(reference: string, options: PrepareOptions): Promise<PreparedImage> {
    // Whatever it has to fetch can be fetched again, and no machine that holds something outlives the host.
    return await takeIn(this.place, { durable: false }, async (store) => {
      const lease = store.lease(LEASE + options.lease)
      try {
        const began = performance.now()
        const { active } = await this.policy.check()
        const found = await locate(store, reference, this.policy, active, { ...options, ...this.registries })
        await lease.add(found.target)
        const resolved = performance.now()
        await options.onPhase?.("verifying")
        const root = await this.rootOf(store, found.target, options)
        const image = await verify(store, this.cache, this.policy, found, root, options)
        return {
          ...image,
          timings: { resolve: rounded(resolved - began), verify: rounded(performance.now() - resolved) },
        }
      } catch (error) {
        await lease.release()
        throw error
      }
    })
  }

  /** Read once, and then only looked for: it may have gone, or be damaged. */
  private async rootOf(store: LayoutStore, target: Descriptor, call: Call): Promise<Root> {
    const key = `${target.mediaType} ${target.digest}`
    const known = this.roots.get(key)
    if (known && (await store.exists(target, call)) && (await store.exists(known.machine.descriptor, call)))
      return known
    const root = await readRoot(store, target, call)
    if (this.roots.size >= MOST_ROOTS) this.roots.clear()
    this.roots.set(key, root)
    return root
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

  /** True if the policy as it is now let an image pass by that name, and need not be asked again (OVMS-POL-084). */
  isAdmitted(reference: string, { base, snapshot }: Pick<PreparedImage, "base" | "snapshot">): boolean {
    return this.policy.isAdmitted(reference, base.digest, snapshot?.digest)
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

  /** True if a `prepare` that threw `error` might succeed with `pull: "missing"`. */
  canPull(reference: string, error: OvmError): boolean {
    if (error.code !== "OVM_NAME_UNKNOWN" && error.code !== "OVM_CONTENT_MISSING") return false
    return !isPath(reference) && parseReference(reference).host !== undefined
  }

  /** Gives back what the instance held; the next garbage collection may remove it. */
  async release(instance: string): Promise<void> {
    await releaseLease(this.place.store, LEASE + instance)
    await this.cache.release(LEASE + instance)
  }

  /**
   * Stores what `take` made of a machine as a snapshot called `name`, and leases it to the instance. The RAM file becomes this
   * host's cached copy, so that it can be resumed here at once. The instance holds no more of it than the disk, which its next
   * snapshots refer to again. Throws OVM_STATE_CONFLICT if `name` stands for something else than a snapshot, and what compressing
   * and storing can throw; then there is no new name.
   */
  async storeSnapshot(taken: TakenSnapshot, name: string, call: Call = {}): Promise<Snapshot> {
    const { snapshot, replaced } = await this.#store(taken, name, call)
    // What the name stood for goes, unless something else holds it (OVMS-SNP-151). It is no reason to have failed.
    if (replaced) await collectImages(this.place, call).catch(() => {})
    return snapshot
  }

  async #store(taken: TakenSnapshot, name: string, call: Call) {
    await using store = await openLayout(this.place.store)
    const before = await refuseOther(store, name, call)
    const descriptor = await storeSnapshot(store, this.cache, taken, call)
    const lease = store.lease(LEASE + taken.lease)
    await lease.add(descriptor)
    const snapshot = await readSnapshot(store, descriptor, call)
    const overlays = snapshot.overlays.map((overlay) => overlay.descriptor)
    if (overlays.length > 0) await lease.add(...overlays)
    await store.tag(descriptor, name, call)
    // The snapshot is there now, whatever becomes of this.
    await lease.drop(descriptor).catch(() => {})
    return { snapshot, replaced: before !== undefined && before.digest !== descriptor.digest }
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

  /** Gives back the leases of all instances but these, which hold at least these manifests afterwards, whatever became of their leases. */
  async keepLeases(instances: ReadonlyMap<string, readonly Digest[]>): Promise<void> {
    await using store = await openLayout(this.place.store)
    const held = new Map((await store.leases()).map(({ id, digests }) => [id, digests]))
    for (const id of held.keys())
      if (id.startsWith(LEASE) && !instances.has(id.slice(LEASE.length))) {
        await store.lease(id).release()
        await this.cache.release(id)
      }
    for (const [instance, digests] of instances) {
      const id = LEASE + instance
      const lost = digests.filter((digest) => !held.get(id)?.includes(digest))
      if (lost.length > 0)
        await store.lease(id).add(...lost.map((digest) => ({ digest, mediaType: OCI_MANIFEST })))
    }
  }
}

interface Located {
  /** As it was asked for: a name in canonical form, or a path. */
  readonly text: string
  /** Undefined for a path. */
  readonly reference?: Reference
  readonly target: Descriptor
  readonly evidence: EvidenceSource
}

/** `strict`: there is a policy, whose scopes a client could choose by the name of a digest. */
async function locate(
  store: LayoutStore,
  text: string,
  policy: Policy,
  strict: boolean,
  options: PrepareOptions & Registries,
): Promise<Located> {
  if (isPath(text)) return { text, ...(await importPath(store, text, options)) }
  const reference = parseReference(text)
  const located = (target: Descriptor): Located => {
    return {
      text: reference.toString(),
      reference,
      target,
      evidence: evidenceIn(store, `${reference.name}:`),
    }
  }
  try {
    return located(await resolveHere(store, reference, strict, options))
  } catch (error) {
    if (options.pull === "never" || !(error instanceof OvmError && error.code === "OVM_NAME_UNKNOWN"))
      throw error
  }
  await options.onPhase?.("pulling")
  return located(await pullImage(store, reference, policy, options))
}

/** A name may stand for a machine, perhaps with RAM beside it, or for a snapshot, which brings its base along. */
async function verify(
  store: LayoutStore,
  cache: Cache,
  policy: Policy,
  located: Located,
  root: Root,
  options: PrepareOptions,
): Promise<UntimedImage> {
  const { reference, target } = located
  const resumes = options.resume !== false
  if (root.machine.descriptor.digest !== target.digest)
    await store.lease(LEASE + options.lease).add(root.machine.descriptor)
  const named = resumes ? root : { machine: root.machine }
  const warnings = await admit(policy, located, named, options)
  const { machine, chain } = await machineOf(store, root.machine, reference?.toString(), options)
  const image = { ...machine, digest: target.digest, warnings: [...machine.warnings, ...warnings] }
  if (!resumes) return image
  const choice: Choice = root.snapshot
    ? { snapshot: root.snapshot }
    : await choose(store, policy, located, root.machine, image, options)
  const told = [...image.warnings, ...(choice.warnings ?? [])]
  if (!choice.snapshot) return { ...image, warnings: told }
  const call = { ...options, holder: LEASE + options.lease }
  const on = { reference: machine.reference, chain }
  const snapshot = await prepareSnapshot(store, cache, choice.snapshot, on, call)
  return { ...image, warnings: told, snapshot }
}

/** Throws what Policy.admit throws; returns what is to be said. */
async function admit(
  policy: Policy,
  { text, reference, target, evidence }: Located,
  root: Root,
  call: Call,
): Promise<readonly string[]> {
  const asked = askedOf(text, reference, target.digest, root)
  return (await policy.admit(asked, evidence, call)).decision.warnings
}

/** A snapshot of a machine on this host to go on from though the machine's own name was given; none that the policy refuses. */
async function choose(
  store: LayoutStore,
  policy: Policy,
  located: Located,
  machine: Artifact,
  image: UntimedImage,
  options: PrepareOptions,
): Promise<Choice> {
  const admitted = new Map<Digest, readonly string[]>()
  const refused: OvmError[] = []
  const choice = await options.choose?.(image, async () => {
    const found = await namedSnapshots(store, machine.descriptor, options)
    for (const snapshot of found)
      try {
        admitted.set(snapshot.descriptor.digest, await admit(policy, located, { machine, snapshot }, options))
      } catch (error) {
        if (!isRefusal(error)) throw error
        refused.push(error)
      }
    // Where a start insists on a snapshot, and this is why there is none, it is told so.
    if (options.resume && admitted.size === 0 && refused[0]) throw refused[0]
    return found.filter(({ descriptor }) => admitted.has(descriptor.digest))
  })
  if (!choice) return {}
  const warnings = [
    ...(choice.warnings ?? []),
    ...refused.map(({ message }) => `a snapshot was passed over: ${message}`),
  ]
  if (!choice.snapshot) return { warnings }
  const { descriptor } = choice.snapshot
  await store.lease(LEASE + options.lease).add(descriptor)
  const told = (admitted.get(descriptor.digest) ?? []).filter((one) => !image.warnings.includes(one))
  return { ...choice, warnings: [...warnings, ...told] }
}
