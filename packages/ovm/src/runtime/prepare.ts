import { parsePlatform } from "../artifact/platforms/platform.ts"
import type { OpenImage, OpenImageOptions } from "../images/open.ts"
import { planBoot } from "./boot.ts"
import { chooseSnapshot } from "./choose.ts"
import { shownDisks } from "./disks.ts"
import type { InstanceInfo, Overrides } from "./interfaces.ts"
import { newNetwork, nothingOffered, sharedForwards, shownNetwork } from "./network.ts"
import { type LaunchRequest, type PlanContext, type Planned, resourcesOf } from "./plan.ts"
import { since } from "./report.ts"
import { planResume } from "./resume.ts"
import { assertAllowed, boundsOf, shownResources } from "./share.ts"
import { planShares, shownShares } from "./shared-folders.ts"

/**
 * From a name to a machine that can be started: the image is opened, a snapshot chosen and made ready if there is one
 * to go on from, and all is checked by the VMM. Throws what Images.open, newNetwork, Addresses.join, chooseSnapshot,
 * planResume and planBoot throw; then nothing is leased to the instance.
 */
export async function prepareStart(
  context: PlanContext,
  request: LaunchRequest,
  reference: string,
  options: Omit<OpenImageOptions, "lease" | "resume" | "platform">,
): Promise<Planned> {
  const wanted = { ...options, lease: request.id, ...soughtBy(request.overrides) }
  const opened = await context.images.open(reference, wanted)
  let failure: unknown
  try {
    return await plan(context, request, opened, options)
  } catch (thrown) {
    failure = thrown
    throw thrown
  } finally {
    await opened.close(failure)
  }
}

async function plan(
  context: PlanContext,
  wanted: LaunchRequest,
  opened: OpenImage,
  call: Omit<OpenImageOptions, "lease" | "resume" | "platform">,
): Promise<Planned> {
  const { overrides, defaults } = wanted
  const { name, ...others } = overrides.network ?? {}
  const network =
    name === undefined
      ? await newNetwork(overrides, opened.image.manifest, defaults, context.chosenPorts)
      : {
          ...(await context.addresses.join(wanted.id, name, others)),
          forwards: await sharedForwards(overrides, opened.image.manifest, context.chosenPorts),
        }
  const shares = await planShares(overrides, opened.image, context.root)
  const request = { ...wanted, network, shares }
  const { fit, warnings } = await chooseSnapshot(context, request, opened, call)
  const offered = nothingOffered(overrides, opened.image.manifest)
  const image = { ...opened.image, warnings: [...opened.image.warnings, ...warnings, ...offered] }
  const resources = resourcesOf(image, overrides, defaults)
  const boots = { resources, bounds: boundsOf(overrides, defaults, resources.memory) }
  assertAllowed(fit?.plan ?? boots, context.limits)
  if (!fit) return await planBoot(context.vmms, request, image, call)
  const began = performance.now()
  const snapshot = await opened.resume(fit.snapshot, call)
  const timings = { ...image.timings, verify: image.timings.verify + since(began) }
  return await planResume(fit, { ...image, timings }, snapshot, context)
}

/** What of an image a start asks for. */
export function soughtBy({ resume, platform }: Overrides): Pick<OpenImageOptions, "resume" | "platform"> {
  const asked = platform === undefined ? undefined : parsePlatform(platform)
  return { ...(resume !== undefined && { resume }), ...(asked && { platform: asked }) }
}

/** What a status says of a plan. */
export function factsOf({ image, capabilities, plan, warnings, snapshot }: Planned) {
  const { name, version, accelerator } = capabilities
  return {
    image: { reference: image.reference, digest: image.digest },
    vmm: { name, version, accelerator },
    resources: shownResources(plan),
    network: shownNetwork(plan),
    disks: shownDisks(plan),
    ...shownShares(plan),
    ...(plan.agent && { agent: { ready: false } }),
    warnings,
    ...(snapshot && { snapshot: snapshot.digest }),
  } satisfies Partial<InstanceInfo>
}
