import type { Snapshot } from "../artifact/snapshot/read.ts"
import type { Call } from "../content/interfaces.ts"
import { OvmError } from "../errors.ts"
import type { OpenImage } from "../images/open.ts"
import type { Vmm } from "../vmm/vmm.ts"
import { type Fit, fitOf, type Resumable } from "./fit.ts"
import type { LaunchRequest, PlanContext } from "./plan.ts"
import { resumedIn, wasResumed } from "./resumed-once.ts"

/** What to go on from, if anything, and what is to be said of that, or of its absence. */
export interface Choice {
  readonly fit?: Fit
  readonly warnings: readonly string[]
}

/**
 * The snapshot that the name itself stands for; where it does not fit and the request allows it, none (OVMS-SNP-076).
 */
async function fitNamed(
  vmms: readonly Vmm[],
  request: LaunchRequest,
  named: Resumable,
  call: Call,
): Promise<Choice> {
  try {
    return { fit: await fitOf(vmms, request, named, call), warnings: [] }
  } catch (error) {
    const unfit = error instanceof OvmError && error.code === "OVM_SNAPSHOT_INCOMPATIBLE"
    const { runtimeHints } = named.image.manifest
    if (!unfit || !(request.overrides.coldBootOnMismatch ?? runtimeHints?.coldBootOnMismatch)) throw error
    return { warnings: [`booted in place of resumed: ${error.message}`] }
  }
}

/**
 * What a start goes on from: what the name stands for (fitNamed), else what of the local snapshots of the machine fits,
 * if the start or the manifest's hint asks for that (OVMS-SNP-111): the first, which is the newest. Throws fitOf's
 * refusals for a name, OVM_SNAPSHOT_INCOMPATIBLE where the start alone asks, and there is none (OVMS-SNP-112),
 * OVM_POLICY_REFUSED where that is why.
 */
export async function chooseSnapshot(
  { root, vmms, claims }: PlanContext,
  request: LaunchRequest,
  opened: OpenImage,
  call: Call,
): Promise<Choice> {
  const { image, snapshot } = opened
  const of = async (snapshot: Snapshot): Promise<Resumable> => {
    const diskSize = request.overrides.diskSize !== undefined && (await opened.diskSize(snapshot, call))
    return { image, snapshot, ...(diskSize !== false && { diskSize }) }
  }
  if (snapshot) return await fitNamed(vmms, request, await of(snapshot), call)
  const { overrides } = request
  const { runtimeHints } = image.manifest
  if (!(overrides.resume ?? runtimeHints?.resume)) return { warnings: [] }
  const { candidates, refused } = await opened.snapshots(call)
  // Where a start insists on a snapshot, and this is why there is none, it is told so.
  if (overrides.resume && candidates.length === 0 && refused[0]) throw refused[0]
  const passed = refused.map(({ message }) => `a snapshot was passed over: ${message}`)
  const reasons: string[] = []
  const details: unknown[] = []
  for (const { snapshot, warnings } of candidates) {
    const { digest } = snapshot.descriptor
    try {
      const fit = await fitOf(vmms, request, await of(snapshot), call)
      const again = snapshot.snapshot.uniqueness.multiResume === "allow"
      if (again || !((await wasResumed(resumedIn(root), digest)) || claims?.has(digest)))
        return { fit, warnings: [...passed, ...warnings] }
      reasons.push(`${digest} may be resumed once, and was`)
    } catch (thrown) {
      if (!(thrown instanceof OvmError) || thrown.code === "OVM_INTERRUPTED") throw thrown
      reasons.push(thrown.message)
      details.push(...(Array.isArray(thrown.detail) ? thrown.detail : []))
    }
  }
  const why = candidates.length === 0 ? "there is none on this host" : reasons.join("; ")
  const message = `no snapshot of ${image.reference} can be gone on from: ${why}`
  const boots = overrides.coldBootOnMismatch ?? runtimeHints?.coldBootOnMismatch ?? overrides.resume !== true
  if (boots) return { warnings: [`booted in place of resumed: ${message}`, ...passed] }
  throw new OvmError("OVM_SNAPSHOT_INCOMPATIBLE", message, {
    detail: details,
    hint: candidates.length === 0 ? "ovm snapshot ID --tag TAG" : "Boot it instead: --no-resume.",
  })
}
