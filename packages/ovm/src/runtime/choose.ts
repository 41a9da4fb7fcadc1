import type { Snapshot } from "../artifact/snapshot/read.ts"
import type { Call } from "../content/interfaces.ts"
import { OvmError } from "../errors.ts"
import type { Choice } from "../images/images.ts"
import type { UntimedImage } from "../images/prepared.ts"
import type { Overrides } from "./interfaces.ts"
import { type Place, type PlanContext, resumedIn } from "./plan-image.ts"
import { checkFit, resumePlanOf } from "./resume.ts"
import { wasResumed } from "./resumed-once.ts"

/**
 * What of the local snapshots of a machine a start goes on from, if it or the manifest's hint asks for that (OVMS-SNP-111): the
 * first, which is the newest, that fits. Throws OVM_SNAPSHOT_INCOMPATIBLE where the start alone asks, and there is none
 * (OVMS-SNP-112).
 */
export async function chooseSnapshot(
  { root, vmms, limits, claims }: PlanContext,
  { id, directory }: Place,
  overrides: Overrides,
  machine: UntimedImage,
  snapshots: () => Promise<readonly Snapshot[]>,
  call: Call,
): Promise<Choice> {
  const { runtimeHints } = machine.manifest
  if (!(overrides.resume ?? runtimeHints?.resume)) return {}
  const reasons: string[] = []
  const refused: unknown[] = []
  const found = await snapshots()
  for (const snapshot of found) {
    const { digest } = snapshot.descriptor
    try {
      const plan = resumePlanOf(id, directory, machine, snapshot.snapshot, overrides, limits.console)
      await checkFit(vmms, plan, machine, snapshot.snapshot, digest, overrides, call)
      if (
        snapshot.snapshot.uniqueness.multiResume === "allow" ||
        !((await wasResumed(resumedIn(root), digest)) || claims?.has(digest))
      )
        return { snapshot }
      reasons.push(`${digest} may be resumed once, and was`)
    } catch (thrown) {
      if (!(thrown instanceof OvmError) || thrown.code === "OVM_INTERRUPTED") throw thrown
      reasons.push(thrown.message)
      refused.push(...(Array.isArray(thrown.detail) ? thrown.detail : []))
    }
  }
  const why = found.length === 0 ? "there is none on this host" : reasons.join("; ")
  const message = `no snapshot of ${machine.reference} can be gone on from: ${why}`
  const boots = overrides.coldBootOnMismatch ?? runtimeHints?.coldBootOnMismatch ?? overrides.resume !== true
  if (boots) return { warnings: [`booted in place of resumed: ${message}`] }
  throw new OvmError("OVM_SNAPSHOT_INCOMPATIBLE", message, {
    detail: refused,
    hint: found.length === 0 ? "ovm snapshot ID --tag TAG" : "Boot it instead: --no-resume.",
  })
}
