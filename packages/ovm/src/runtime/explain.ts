import { join } from "node:path"
import type { Call } from "../content/interfaces.ts"
import { toOvmError } from "../errors.ts"
import type { OpenImage } from "../images/open.ts"
import type { PreparedImage } from "../images/prepared.ts"
import type { LaunchPlan } from "../vmm/plan.ts"
import type { Vmm } from "../vmm/vmm.ts"
import { checkedBy, guestOf } from "./architecture.ts"
import { bootPlan, vmmsInOrder } from "./boot.ts"
import { chooseSnapshot } from "./choose.ts"
import { entryOf } from "./instance.ts"
import type { Explanation, StartRequest } from "./interfaces.ts"
import { newNetwork } from "./network.ts"
import type { LaunchRequest, PlanContext } from "./plan.ts"
import { soughtBy } from "./prepare.ts"
import { planShares } from "./shared-folders.ts"

type Candidate = Explanation["vmms"][number]

/**
 * Runtime.explain: what a start with `request` would boot or go on from, and by which VMM, with what each of them finds
 * (OVMS-API-472). Nothing is fetched, started or kept. Throws what Images.open, planShares and chooseSnapshot throw.
 */
export async function explainStart(
  context: PlanContext,
  { manifest, overrides = {} }: StartRequest,
  call: Call,
): Promise<Explanation> {
  const id = crypto.randomUUID()
  const wanted = { lease: id, pull: "never" as const, ...soughtBy(overrides), ...call }
  const opened = await context.images.open(manifest, wanted)
  let failure: unknown
  try {
    const volumes = await context.volumes.plan(overrides)
    const { limits, defaults } = context
    const directory = join(context.root, "instances", id)
    const launch = { id, directory, overrides, volumes, consoleLimit: limits.console, defaults }
    return await explained(context, launch, opened, call)
  } catch (thrown) {
    failure = thrown
    throw thrown
  } finally {
    await opened.close(failure)
    await context.images.release(id)
  }
}

async function explained(
  context: PlanContext,
  launch: LaunchRequest,
  opened: OpenImage,
  call: Call,
): Promise<Explanation> {
  const { overrides, defaults } = launch
  const { image } = opened
  // One that machines share is looked for when it is joined, and is of no VMM's concern.
  const shared = overrides.network?.name !== undefined
  const network = shared ? undefined : await newNetwork(overrides, image.manifest, defaults)
  const shares = await planShares(overrides, image, context.root)
  const request = { ...launch, shares, ...(network && { network }) }
  const { fit, warnings } = await chooseSnapshot(context, request, opened, { ...call, pull: "never" })
  const said = {
    image: { reference: image.reference, digest: image.digest },
    warnings: [...image.warnings, ...warnings],
  }
  if (!fit) return { ...said, vmms: await booting(context.vmms, request, image, call) }
  const { name, version, accelerator } = fit.capabilities
  return {
    ...said,
    snapshot: fit.snapshot.descriptor.digest,
    vmms: [{ name, chosen: true, version, accelerator, findings: [] }],
  }
}

/** All that were enabled, in the order in which they are tried. */
async function booting(
  vmms: readonly Vmm[],
  request: LaunchRequest,
  image: PreparedImage,
  call: Call,
): Promise<readonly Candidate[]> {
  const { plan } = bootPlan(request, image)
  const judged: Candidate[] = []
  for (const vmm of vmmsInOrder(vmms, image, request.overrides)) {
    const before = judged.some(({ chosen }) => chosen)
    judged.push(await judge(vmm, plan, { before, ...call }))
  }
  return judged
}

/** `before`: another one is chosen already. */
async function judge(
  vmm: Vmm,
  plan: LaunchPlan,
  { before, ...call }: Call & { readonly before: boolean },
): Promise<Candidate> {
  try {
    const { version, accelerator } = await vmm.capabilities({ ...call, ...guestOf(plan) })
    const { findings } = await checkedBy(vmm, plan, call)
    const fits = findings.every(({ severity }) => severity !== "fatal")
    return { name: vmm.name, chosen: fits && !before, version, accelerator, findings }
  } catch (thrown) {
    return { name: vmm.name, chosen: false, findings: [], error: entryOf(toOvmError(thrown)) }
  }
}
