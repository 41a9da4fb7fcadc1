import type { Call } from "../content/interfaces.ts"
import { OvmError } from "../errors.ts"
import type { OpenImage, OpenImageOptions } from "../images/open.ts"
import type { Vmm } from "../vmm/vmm.ts"
import { fitOf, type Resumable } from "./fit.ts"
import type { LaunchRequest, PlanContext } from "./plan.ts"
import { type FoundSnapshot, SnapshotSearch } from "./snapshot-search.ts"

/** What to go on from, if anything, and what is to be said of that, or of its absence. */
export type Choice = FoundSnapshot | { readonly fit?: undefined; readonly warnings: readonly string[] }

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
 * if the start or the manifest's hint asks for that (OVMS-SNP-111): the first, which is the newest; else, where the
 * start itself asks, one of the name's repository (OVMS-SNP-113). Throws fitOf's refusals for a name,
 * OVM_SNAPSHOT_INCOMPATIBLE where the start alone asks, and there is none (OVMS-SNP-112), OVM_POLICY_REFUSED where that
 * is why, OVM_CONTENT_MISSING where nothing is to be pulled and there may be one.
 */
export async function chooseSnapshot(
  context: PlanContext,
  request: LaunchRequest,
  opened: OpenImage,
  call: Pick<OpenImageOptions, "pull" | "onPhase" | "signal">,
): Promise<Choice> {
  const { image, snapshot } = opened
  const search = new SnapshotSearch(context, request, opened)
  if (snapshot) return await fitNamed(context.vmms, request, await search.resumable(snapshot, call), call)
  const { overrides } = request
  const { runtimeHints } = image.manifest
  if (!(overrides.resume ?? runtimeHints?.resume)) return { warnings: [] }
  const found = (await search.here(call)) ?? (overrides.resume && (await search.published(call)))
  if (found) return found
  const { refused, reasons, details } = search
  // Where a start insists on a snapshot, and this is why there is none, it is told so.
  if (overrides.resume && reasons.length === 0 && refused[0]) throw refused[0]
  const why = reasons.length === 0 ? `there is none ${search.where}` : reasons.join("; ")
  const message = `no snapshot of ${image.reference} can be gone on from: ${why}`
  const boots = overrides.coldBootOnMismatch ?? runtimeHints?.coldBootOnMismatch ?? overrides.resume !== true
  if (boots) return { warnings: [`booted in place of resumed: ${message}`, ...search.passedOver] }
  throw new OvmError("OVM_SNAPSHOT_INCOMPATIBLE", message, {
    detail: details,
    hint: reasons.length === 0 ? "ovm snapshot ID --tag TAG" : "Boot it instead: --no-resume.",
  })
}
