import type { Call } from "../content/interfaces.ts"
import { OvmError } from "../errors.ts"
import { assertLockable } from "../host/lock-limit.ts"
import type { OpenImage } from "../images/open.ts"
import type { Loading } from "../vmm/loader.ts"
import type { LaunchPlan, NetworkPlan, ResumePlan } from "../vmm/plan.ts"
import type { SnapshotParts } from "../vmm/snapshot.ts"
import type { Vmm } from "../vmm/vmm.ts"
import { agentBoot } from "./agent-boot.ts"
import { type LaunchRequest, type PlanContext, type Planned, planOf } from "./plan.ts"
import type { Lineage } from "./record.ts"
import { resumable, setGoing } from "./resume.ts"
import { disksNow } from "./written-disks.ts"

/** Where a machine goes on: RAM, device state and disk of one instant, in files of its instance's own. */
export interface Instant extends Pick<SnapshotParts, "origin" | "boot"> {
  /** Of a guest that goes on as the one that it was; a new one unless given. */
  readonly generationId?: string
  readonly lineage: Lineage
}

export interface GoingOn {
  /** Its image. Whoever has it open closes it. */
  readonly opened: OpenImage
  readonly request: Omit<LaunchRequest, "network">
  readonly network: NetworkPlan
  readonly instant: Instant
}

/**
 * How the guest of an instant goes on in an instance of this host, with no snapshot in between. Throws
 * OVM_SNAPSHOT_INCOMPATIBLE where the VMM is another one by now, OVM_UNSUPPORTED, and what OpenImage.overlays throws.
 */
export async function planFromInstant(
  { opened, request, network, instant }: GoingOn,
  { vmms }: Pick<PlanContext, "vmms">,
  call: Call,
): Promise<Planned> {
  const { lineage } = instant
  const by = await loaderOf(vmms, instant, call)
  const image = await imageOf(opened, instant, call)
  const mac = by.loader.macIn(instant.origin.model.devices)
  const connected = { ...request, ...(mac !== undefined && { network: { ...network, mac } }) }
  const wanted = {
    ...wantedOf(planOf(connected, image), instant),
    agent: by.loader.agentIn(instant.origin.model.devices),
  }
  if (wanted.lockMemory) await assertLockable(request.id, wanted.resources.memory)
  const { plan: booting, make } = agentBoot<ResumePlan>(wanted)
  const { plan, warnings } = await resumable(by, request.id, booting)
  const { parent, parentRam, policy } = lineage
  const load = async (call: Loading) => {
    await make()
    return await by.loader.load(plan, call)
  }
  return {
    image,
    written: { overlays: lineage.overlays, ...(lineage.disks && { disks: lineage.disks }) },
    alive: {
      live: true,
      ...(parent && { parent }),
      ...(parentRam && { parentRam }),
      ...(policy && { policy }),
    },
    capabilities: by.capabilities,
    plan,
    warnings: [...image.warnings, ...warnings],
    load,
    go: (call) => setGoing(load({ ...call, goesOn: true })),
  }
}

/** `plan` without what a guest that has booted reads no more. */
function wantedOf(plan: LaunchPlan, { origin, boot, lineage, generationId }: Instant): ResumePlan {
  const { kernel, initrd, ...rest } = plan
  const { vcpus, memory } = origin.model
  return {
    ...rest,
    ...(boot && kernel && { kernel: { ...kernel, args: boot.args }, ...(initrd && { initrd }) }),
    resources: { vcpus, memory },
    accelerator: origin.accelerator,
    ...(generationId !== undefined && { generationId }),
    origin,
    lockMemory: lineage.policy?.mlock_required === true,
  }
}

/** The VMM that has taken the instant: what another version of it would make of the state, nobody knows. */
async function loaderOf(vmms: readonly Vmm[], { origin }: Instant, call: Call) {
  const vmm = vmms.find(({ name }) => name === origin.vmm)
  const loader = vmm?.loader
  if (!loader) throw changed(origin, "is not here any more")
  const capabilities = await vmm.capabilities(call)
  if (capabilities.version === origin.version) return { vmm, loader, capabilities }
  throw changed(origin, `is ${capabilities.version} by now`)
}

function changed({ vmm, version }: Instant["origin"], how: string): OvmError {
  return new OvmError(
    "OVM_SNAPSHOT_INCOMPATIBLE",
    `the machine runs by ${vmm} ${version}, which ${how}: no other goes on from its state`,
    { hint: "ovm restart it" },
  )
}

async function imageOf(opened: OpenImage, { origin, lineage }: Instant, call: Call) {
  const { image } = opened
  const written = await opened.overlays(lineage.overlays, call)
  const disks = await disksNow(opened, lineage, call)
  return { ...image, layers: [...image.layers, ...written], virtualSize: origin.diskSize ?? 0, disks }
}
