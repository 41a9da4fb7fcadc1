import type { Snapshot } from "../artifact/snapshot/read.ts"
import type { Call } from "../content/interfaces.ts"
import { OvmError, ofRegistry } from "../errors.ts"
import type { OpenImage, OpenImageOptions } from "../images/open.ts"
import { isRefusal } from "../signing/policy/refused.ts"
import { type Fit, fitOf, type Resumable } from "./fit.ts"
import type { LaunchRequest, PlanContext } from "./plan.ts"
import { resumedIn, wasResumed } from "./resumed-once.ts"

/** What to go on from, and what is to be said of it. */
export interface FoundSnapshot {
  readonly fit: Fit
  readonly warnings: readonly string[]
}

/** What says nothing of a snapshot. */
const FATAL: ReadonlySet<string> = new Set(["OVM_INTERRUPTED", "OVM_POLICY_INVALID"])

/** Looks for a snapshot of a machine to go on from, and keeps why each cannot be that it passes over. */
export class SnapshotSearch {
  /** Why one does not fit, in words and by field. */
  readonly reasons: string[] = []
  readonly details: unknown[] = []
  /** What the policy has said of others. */
  readonly refused: OvmError[] = []
  /** Where it has looked. */
  where = "on this host"

  constructor(
    private readonly context: PlanContext,
    private readonly request: LaunchRequest,
    private readonly opened: OpenImage,
  ) {}

  get passedOver(): readonly string[] {
    return this.refused.map(({ message }) => `a snapshot was passed over: ${message}`)
  }

  /** `snapshot`, which is local, as it is held against this host. */
  async resumable(snapshot: Snapshot, call: Call): Promise<Resumable> {
    const { image } = this.opened
    if (this.request.overrides.diskSize === undefined) return { image, snapshot }
    return { image, snapshot, diskSize: await this.opened.diskSize(snapshot, call) }
  }

  /** The newest local one. Throws OVM_POLICY_INVALID, OVM_INTERRUPTED. */
  async here(call: Call): Promise<FoundSnapshot | undefined> {
    const { candidates, refused } = await this.opened.snapshots(call)
    this.refused.push(...refused)
    for (const { snapshot, warnings } of candidates) {
      const fit = await this.#fit(await this.resumable(snapshot, call), call)
      if (fit) return { fit, warnings: [...this.passedOver, ...warnings] }
    }
    return undefined
  }

  /**
   * The newest one of the name's repository that fits by its descriptor and that the policy trusts: only that one is
   * pulled (OVMS-SNP-113). Throws OVM_CONTENT_MISSING where nothing is to be pulled and there may be one,
   * OVM_POLICY_INVALID, OVM_INTERRUPTED.
   */
  async published({
    pull,
    onPhase,
    ...call
  }: Pick<OpenImageOptions, "pull" | "onPhase" | "signal">): Promise<FoundSnapshot | undefined> {
    const { opened } = this
    if (!(await opened.mayBePublished())) return undefined
    const { image } = opened
    if (pull === "never")
      throw new OvmError(
        "OVM_CONTENT_MISSING",
        `no snapshot of ${image.reference} on this host can be gone on from`,
        {
          hint: `ovm discover ${image.reference} shows what its registry has, and ovm pull fetches it.`,
        },
      )
    await onPhase?.("pulling")
    for (const snapshot of await this.#listed(call)) {
      const { diskSize } = this.request.overrides
      // How large its disk is, is known once it is here.
      const unseen = { image, snapshot, ...(diskSize !== undefined && { diskSize }) }
      if (!(await this.#fit(unseen, call))) continue
      const pulled = await this.#tried(() => opened.pull(snapshot, call))
      const fit = pulled && (await this.#fit(await this.resumable(pulled.snapshot, call), call))
      if (fit) return { fit, warnings: [...this.passedOver, ...pulled.warnings] }
    }
    return undefined
  }

  /** None where the registry fails: that says nothing of a snapshot. */
  async #listed(call: Call): Promise<readonly Snapshot[]> {
    try {
      const found = await this.opened.published(call)
      this.where = "on this host or in its registry"
      return found
    } catch (thrown) {
      if (!ofRegistry(thrown)) throw thrown
      this.where = `on this host, and its registry could not be asked: ${thrown.message}`
      return []
    }
  }

  async #fit(resumable: Resumable, call: Call): Promise<Fit | undefined> {
    const { root, vmms, claims } = this.context
    const { descriptor, snapshot } = resumable.snapshot
    return await this.#tried(async () => {
      const fit = await fitOf(vmms, this.request, resumable, call)
      const again = snapshot.uniqueness.multiResume === "allow"
      const { digest } = descriptor
      if (again || !((await wasResumed(resumedIn(root), digest)) || claims?.has(digest))) return fit
      this.reasons.push(`${digest} may be resumed once, and was`)
      return undefined
    })
  }

  async #tried<Found>(find: () => Promise<Found>): Promise<Found | undefined> {
    try {
      return await find()
    } catch (thrown) {
      if (!(thrown instanceof OvmError) || FATAL.has(thrown.code)) throw thrown
      const { message, detail } = thrown
      if (isRefusal(thrown)) this.refused.push(thrown)
      else this.reasons.push(message)
      if (Array.isArray(detail)) this.details.push(...detail)
      return undefined
    }
  }
}
