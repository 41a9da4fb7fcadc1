import { join } from "node:path"
import type { Call } from "../content/interfaces.ts"
import { OvmError } from "../errors.ts"
import type { PreparedImage } from "../images/prepared.ts"
import type { Vmm } from "../vmm/interfaces.ts"
import type { InstanceInfo, Overrides } from "./interfaces.ts"
import type { Limits } from "./limits.ts"
import { chooseVmm, type Planned, planOf } from "./plan.ts"
import { planResume, resumePlanOf } from "./resume.ts"
import type { Claims } from "./resumed-once.ts"

export interface PlanContext {
  readonly root: string
  readonly vmms: readonly Vmm[]
  readonly limits: Limits
  /** Where the plan is for a start; absent where it is for a slot, which resumes nothing yet. */
  readonly claims?: Claims
}

/** Where a machine is going to live: its id and its own directory. */
export interface Place {
  readonly id: string
  readonly directory: string
}

/**
 * How the image is booted here or, being a snapshot, resumed; where that does not fit and the request allows it, its base is
 * booted (OVMS-SNP-076). Throws what chooseVmm and planResume throw.
 */
export async function planImage(
  { root, vmms, limits, claims }: PlanContext,
  { id, directory }: Place,
  image: PreparedImage,
  overrides: Overrides,
  call: Call,
): Promise<Planned> {
  const { console } = limits
  const boot = (image: PreparedImage) =>
    chooseVmm(vmms, image, overrides, planOf(id, directory, image, overrides, console), call)
  if (!image.snapshot) return boot(image)
  try {
    const { snapshot } = image
    const plan = resumePlanOf(id, directory, image, snapshot.descriptor, overrides, console)
    const resumed = { folder: resumedIn(root), claims }
    return await planResume(vmms, plan, image, snapshot, overrides, resumed, call)
  } catch (error) {
    const unfit = error instanceof OvmError && error.code === "OVM_SNAPSHOT_INCOMPATIBLE"
    const boots = overrides.coldBootOnMismatch ?? image.manifest.runtimeHints?.coldBootOnMismatch
    if (!unfit || !boots) throw error
    return boot({ ...image, warnings: [...image.warnings, `booted in place of resumed: ${error.message}`] })
  }
}

/** Where it is remembered which snapshots were resumed that may be resumed once. */
export function resumedIn(root: string): string {
  return join(root, "resumed")
}

/** What a status says of image and plan. */
export function factsOf(image: PreparedImage, { capabilities, plan, warnings, snapshot }: Planned) {
  const { name, version, accelerator } = capabilities
  return {
    image: { reference: image.reference, digest: image.digest },
    vmm: { name, version, accelerator },
    resources: plan.resources,
    warnings,
    ...(snapshot && { snapshot: snapshot.digest }),
  } satisfies Partial<InstanceInfo>
}
