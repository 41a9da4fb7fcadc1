import type { Artifact } from "../artifact/machine/read.ts"
import type { Platform } from "../artifact/platforms/platform.ts"
import type { FoundMachine } from "../artifact/platforms/read.ts"
import type { Snapshot } from "../artifact/snapshot/read.ts"
import type { Cache } from "../cache/cache.ts"
import type { Descriptor } from "../content/descriptor.ts"
import type { Call } from "../content/interfaces.ts"
import type { LayoutStore } from "../content/layout/store.ts"
import { OvmError } from "../errors.ts"
import type { Paths } from "../host/paths.ts"
import { isPath, parseReference, type Reference } from "../registry/reference.ts"
import type { EvidenceSource } from "../signing/interfaces.ts"
import type { Policy } from "../signing/policy/policy.ts"
import { isRefusal } from "../signing/policy/refused.ts"
import { evidenceIn } from "../signing/source.ts"
import { type Chain, chainOf, localFile, virtualSizeOf } from "./machine.ts"
import { namedSnapshots } from "./named-snapshots.ts"
import { importPath } from "./path.ts"
import type { PreparedImage, PreparedSnapshot } from "./prepared.ts"
import { publishedSnapshots, pullSnapshot } from "./published.ts"
import { pullImage, type Registries } from "./pull.ts"
import { hasMachine, resolveHere } from "./resolve.ts"
import { askedOf, type Root } from "./root.ts"
import { prepareSnapshot } from "./snapshot.ts"
import { collectInVain } from "./take-in.ts"

export interface OpenImageOptions extends Call {
  /** Id of the instance that will use it; its lease holds the content until `Images.release`. */
  readonly lease: string
  /** never: throw what is missing. missing: fetch what is not here. */
  readonly pull: "never" | "missing"
  /** Which machine of an index; this host's unless told (OVMS-IDX-018). */
  readonly platform?: Platform | undefined
  /** False: a snapshot's base, or a machine with RAM beside it, is to boot. */
  readonly resume?: boolean
  readonly onPhase?: (phase: "resolving" | "pulling" | "verifying") => void | Promise<void>
}

/** Names of instances' leases begin with it. */
export const LEASE = "instance-"

export const leaseOf = (instance: string) => LEASE + instance

/** Where images live, and who says which of them may be used. */
export interface Premises {
  readonly place: Pick<Paths, "store" | "cache">
  readonly cache: Cache
  readonly policy: Policy
  readonly registries: Registries
}

/** What a name stands for, once it was found. */
export interface ImageTarget {
  /** As it was asked for: a name in canonical form, or a path. */
  readonly text: string
  /** Undefined for a path. */
  readonly reference?: Reference
  readonly target: Descriptor
  /** Through which a machine was found that is known already. */
  readonly index?: Descriptor
  readonly evidence: EvidenceSource
}

/** A snapshot of a machine on this host, admitted by the policy, with what that has to say of it. */
export interface LocalSnapshot {
  readonly snapshot: Snapshot
  readonly warnings: readonly string[]
}

/**
 * A machine that is local, verified and leased, and what may be gone on from. As long as it is open nothing that was
 * looked at is taken away; the lease outlives that.
 */
export class OpenImage {
  /** What the name itself says to go on from: it stands for a snapshot, or has RAM beside the machine. */
  readonly snapshot: Snapshot | undefined

  constructor(
    private readonly premises: Premises,
    private readonly store: LayoutStore,
    private readonly opened: {
      readonly located: ImageTarget
      readonly root: Root
      readonly chain: Chain
      readonly lease: string
    },
    readonly image: PreparedImage,
  ) {
    this.snapshot = opened.root.snapshot
  }

  /** The machine's artifact; of a snapshot, that of its base. */
  get machine(): Artifact {
    return this.opened.root.machine
  }

  /**
   * Named snapshots of the machine on this host, the newest first (OVMS-SNP-110), without those that the policy
   * refuses: these are `refused`, with its words. Throws OVM_POLICY_INVALID, OVM_INTERRUPTED.
   */
  async snapshots(
    call: Call = {},
  ): Promise<{ candidates: readonly LocalSnapshot[]; refused: readonly OvmError[] }> {
    const { machine } = this.opened.root
    const candidates: LocalSnapshot[] = []
    const refused: OvmError[] = []
    for (const snapshot of await namedSnapshots(this.store, machine.descriptor, call))
      try {
        const told = await admit(this.premises.policy, this.opened.located, { machine, snapshot }, call)
        const warnings = told.filter((one) => !this.image.warnings.includes(one))
        candidates.push({ snapshot, warnings })
      } catch (error) {
        if (!isRefusal(error)) throw error
        refused.push(error)
      }
    return { candidates, refused }
  }

  /** Whether the registry of its name may be asked for snapshots: only a policy can say whose (OVMS-SNP-113). */
  async mayBePublished(): Promise<boolean> {
    const { reference } = this.opened.located
    return reference?.host !== undefined && (await this.premises.policy.needsEvidence(reference))
  }

  /**
   * Snapshots of the machine in the repository of its name, the newest first, as far as their descriptors: nothing else
   * of them is fetched, and nobody has said whose they are. Throws what a registry can fail with.
   */
  async published(call: Call = {}): Promise<readonly Snapshot[]> {
    const { located, root } = this.opened
    if (!located.reference) return []
    return await publishedSnapshots(located.reference, root.machine.descriptor, {
      ...this.premises.registries,
      ...call,
    })
  }

  /**
   * Pulls one of `published`, which is a local one from then on. Throws OVM_POLICY_REFUSED where no evidence about it
   * convinces the policy (OVMS-SNP-114), and what pullImage throws.
   */
  async pull(snapshot: Snapshot, call: Call = {}): Promise<LocalSnapshot> {
    const { store, premises, opened } = this
    const { located, root } = opened
    const { policy, registries } = premises
    const { digest } = snapshot.descriptor
    const reference = (located.reference ?? parseReference(located.text)).withDigest(digest)
    const pulled = await pullSnapshot(store, reference, policy, { ...registries, ...call })
    const warnings = await admit(policy, located, { machine: root.machine, snapshot: pulled }, call)
    return { snapshot: pulled, warnings }
  }

  /**
   * Makes everything of `snapshot` local and leases it: RAM inflated, state and overlays verified (spec/snapshot.md).
   * Throws OVM_CONTENT_MISSING, OVM_SNAPSHOT_INVALID, OVM_DISK_INVALID, OVM_DIGEST_MISMATCH, OVM_SIZE_MISMATCH,
   * OVM_NO_SPACE.
   */
  async resume(snapshot: Snapshot, call: Call = {}): Promise<PreparedSnapshot> {
    const { store, premises, image } = this
    const { chain, lease, root } = this.opened
    if (snapshot !== this.snapshot) await store.lease(lease).add(snapshot.descriptor)
    const from = { store, cache: premises.cache }
    const base = { reference: image.reference, chain, disks: root.machine.disks }
    return await prepareSnapshot(from, snapshot, base, { ...call, holder: lease })
  }

  /** Bytes of the disk that the guest of `snapshot` sees; 0 without a disk. Throws as `resume` does. */
  async diskSize(snapshot: Snapshot, call: Call = {}): Promise<number> {
    const { store, image, opened } = this
    return virtualSizeOf(await chainOf({ store, ...image }, snapshot.overlays, call, opened.chain))
  }

  /**
   * The files of what was written on top of the machine's layers, each verified if it is of the store. Throws as
   * `resume` does.
   */
  async overlays(
    written: readonly (Descriptor | string)[],
    call: Call = {},
  ): Promise<PreparedImage["layers"]> {
    const file = (one: Descriptor | string) =>
      typeof one === "string" ? one : localFile(this.store, this.image.reference, one, call)
    return await Promise.all(
      written.map(async (one) => ({ path: await file(one), format: "qcow2" as const })),
    )
  }

  /** From now on the instance holds these as well, all of which somebody else holds now. */
  async holdFor(instance: string, held: readonly Pick<Descriptor, "digest" | "mediaType">[]): Promise<void> {
    await this.store.lease(leaseOf(instance)).add(...held)
  }

  /**
   * `failure`: the machine is not used after all, for this reason. The lease goes too then, and what was fetched in
   * vain.
   */
  async close(failure?: unknown): Promise<void> {
    if (failure === undefined) return await this.store.close()
    const { place, cache } = this.premises
    await this.store.lease(this.opened.lease).release()
    await cache.release(this.opened.lease)
    await this.store.close()
    await collectInVain(place, failure)
  }
}

/** Asks the policy about `root`. Returns its warnings; throws what Policy.admit throws. */
export async function admit(
  policy: Policy,
  { text, reference: name, target, index, evidence }: ImageTarget,
  root: Root,
  call: Call,
): Promise<readonly string[]> {
  const asked = askedOf({ reference: text, name, target: index ?? target, index }, root)
  return (await policy.admit(asked, evidence, call)).decision.warnings
}

/** What was asked for by `text` once, by its digest: what the text stands for now is not asked. */
export function pinned(store: LayoutStore, text: string, found: FoundMachine): ImageTarget {
  if (isPath(text)) return { text, ...found, evidence: evidenceIn(store) }
  const reference = parseReference(text)
  return {
    text: reference.toString(),
    reference,
    ...found,
    evidence: evidenceIn(store, `${reference.name}:`),
  }
}

/**
 * What `text` stands for: a path is imported, a name is looked for on this host and, if `options.pull` allows, pulled.
 * `strict`: there is a policy, and a client could choose among its scopes by putting a repository of its choice before
 * a digest; so that digest has to be here under a name of that repository (resolve.ts).
 */
export async function findImage(
  store: LayoutStore,
  text: string,
  { policy, strict }: { readonly policy: Policy; readonly strict: boolean },
  options: OpenImageOptions & Registries,
): Promise<ImageTarget> {
  if (isPath(text)) return { text, ...(await importPath(store, text, options)) }
  const reference = parseReference(text)
  const located = (target: Descriptor) => pinned(store, text, { target })
  try {
    const target = await resolveHere(store, reference, strict, options)
    const fetchable = options.pull === "missing" && reference.host !== undefined
    if (!fetchable || (await hasMachine(store, target, options))) return located(target)
  } catch (error) {
    if (options.pull === "never" || !(error instanceof OvmError && error.code === "OVM_NAME_UNKNOWN"))
      throw error
  }
  await options.onPhase?.("pulling")
  return located(await pullImage(store, reference, policy, options))
}
