import { existsSync } from "node:fs"
import type { Call } from "../content/interfaces.ts"
import { sizeOfDisk } from "../disk/size.ts"
import { OvmError } from "../errors.ts"
import type { PreparedImage } from "../images/prepared.ts"
import { planBoot } from "./boot.ts"
import { firstOverlay } from "./disks.ts"
import { Instance } from "./instance.ts"
import type { StartRequest, VolumeUse } from "./interfaces.ts"
import { newNetwork, sameNetwork } from "./network.ts"
import type { LaunchRequest, PlanContext, Planned } from "./plan.ts"
import type { Lineage } from "./record.ts"
import { wasCutOff } from "./restart-policy.ts"
import { assertBoundable } from "./share.ts"
import { planShares } from "./shared-folders.ts"
import { hasEnded, isUp } from "./states.ts"
import { disksNow, furtherTops } from "./written-disks.ts"

/** An instance of which it is known which volumes it has. */
export type Startable = Instance & { readonly volumes: readonly VolumeUse[] }

/** One whose disk is there, and what was written to it. */
export type Bootable = Startable & { readonly lineage: Lineage }

export function isBootable(instance: Startable): instance is Bootable {
  return instance.lineage !== undefined
}

/**
 * Throws OVM_STATE_CONFLICT for what has not ended or has no disk to go on with, unless its first start was cut off,
 * OVM_RECORD_UNREADABLE (OVMS-API-165).
 */
export function startable(instance: Instance): Startable {
  const { info, lineage, unreadable, removing, snapshotting, request } = instance
  if (unreadable) throw unreadable
  const why = !hasEnded(info.state)
    ? `is ${info.state}`
    : removing
      ? "is being removed"
      : snapshotting
        ? "is still being snapshotted or committed"
        : !lineage && !(request && wasCutOff(info)) && "has never run, and there is nothing to go on with"
  if (why)
    throw new OvmError("OVM_STATE_CONFLICT", `instance ${info.instance_id} ${why}`, {
      detail: { state: info.state },
      ...(!lineage && { hint: "ovm rm it, and ovm run its image" }),
    })
  return withVolumes(instance)
}

/** Nobody else would be kept from writing to what this one has. */
function withVolumes(instance: Instance): Startable {
  if (instance.volumes) return instance as Startable
  throw new OvmError("OVM_RECORD_UNREADABLE", `${instance.directory}: nobody can say which volumes it has`, {
    hint: `ovm rm ${instance.id}, which keeps every volume`,
  })
}

/** Of one that runs: what `startable` says of it once it has ended. Throws OVM_STATE_CONFLICT. */
export function restartable(instance: Instance): Bootable {
  instance.assertUsable()
  const { info, lineage, removing, snapshotting, state } = instance
  if (lineage && !removing && !snapshotting && isUp(state)) return withVolumes(instance) as Bootable
  throw new OvmError("OVM_STATE_CONFLICT", `instance ${info.instance_id} is ${state}`, { detail: { state } })
}

/**
 * The next life of an instance: its id, name, disk and place, and nothing of what became of the last one. `restarts`:
 * how often its policy has had it started since somebody else did.
 */
export function nextLife(
  { directory, info, lineage, request, again, volumes }: Startable,
  restarts: number,
): Instance {
  const {
    instance_id,
    name,
    labels,
    image,
    vmm,
    resources,
    network,
    disks,
    shares,
    agent,
    fork,
    standby_after,
    restart,
    auto_remove,
    created,
  } = info
  return new Instance(
    directory,
    {
      instance_id,
      name,
      ...(labels && { labels }),
      state: "starting",
      phase: "resolving",
      image,
      ...(vmm && { vmm }),
      resources,
      ...(restart !== undefined && { restart }),
      ...(auto_remove && { auto_remove }),
      ...(restarts > 0 && { restarts }),
      ...(network && { network }),
      ...(disks && { disks }),
      ...(shares && { shares: shares.map((share) => ({ ...share, mounted: false })) }),
      ...(agent && { agent: { ready: false } }),
      ...(fork && { fork }),
      ...(standby_after !== undefined && { standby_after }),
      timings_ms: {},
      warnings: [],
      created,
    },
    {
      ...(lineage && { lineage: lifeOf(lineage) }),
      ...(request && { request }),
      ...(again && { again }),
      volumes,
    },
  )
}

/** What it was started with, as far as that is known. */
export function firstRequest({ request, info }: Instance): StartRequest {
  return request ?? { manifest: info.image.reference }
}

/** Without what was of one life only. */
function lifeOf({ base, overlays, disks, top }: Lineage): Lineage {
  return { base, overlays, ...(disks && { disks }), ...(top !== undefined && { top }) }
}

/**
 * How the machine boots from its disk as it is: on the content that it was started from, whatever names stand for by
 * now, with the resources that it had, and by the VMM that wrote the disk (OVMS-API-163). Throws what Images.openAgain
 * and planBoot throw.
 */
export async function planAgain(
  context: PlanContext,
  { id, directory, info, lineage, request, volumes: uses }: Bootable,
  call: Call,
): Promise<Planned> {
  const { images, vmms, volumes, limits } = context
  const { vcpus, memory, cpu_quota: cpuQuota } = info.resources
  const top = topOf(directory, lineage)
  const quota = cpuQuota === undefined ? {} : { cpuQuota }
  // What the operator says by now is for new ones.
  const { cpuQuota: _, ...defaults } = context.defaults
  const wanted: LaunchRequest = {
    id,
    directory,
    volumes: await volumes.plan({ volumes: uses }),
    overrides: {
      ...request?.overrides,
      ...(vcpus !== undefined && { vcpus }),
      ...(memory !== undefined && { memory }),
      ...quota,
      ...(info.vmm && { vmm: info.vmm.name }),
      ...(info.agent && { agent: true }),
    },
    consoleLimit: limits.console,
    defaults,
    ...(top !== undefined && { overlay: top }),
    furtherOverlays: furtherTops(lineage),
  }
  const asked = request?.manifest ?? info.image.reference
  const opened = await images.openAgain(asked, lineage, { lease: id, ...call })
  try {
    const overrides = request?.overrides ?? {}
    const { manifest } = opened.image
    const network = !info.network
      ? await newNetwork(overrides, manifest, defaults, context.chosenPorts)
      : info.network.mode === "bridge"
        ? await context.addresses.again(id, info.network)
        : await sameNetwork(info.network, overrides)
    const written = await opened.overlays(lineage.overlays, call)
    const layers = [...opened.image.layers, ...written]
    const virtualSize = await sizeNow(opened.image, top ?? written.at(-1)?.path)
    const disks = await disksNow(opened, lineage, call)
    const image = { ...opened.image, layers, virtualSize, disks }
    const shares = await planShares(overrides, opened.image, context.root)
    const planned = await planBoot(vmms, { ...wanted, network, shares }, image, call)
    assertBoundable(planned.plan.bounds ?? {})
    const { overlays, disks: further } = lineage
    return { ...planned, written: { overlays, ...(further && { disks: further }) } }
  } finally {
    await opened.close()
  }
}

/** What the guest wrote to. How far a first start came that was cut off, its directory alone says. */
function topOf(directory: string, { top }: Lineage): string | undefined {
  const first = firstOverlay(directory)
  return top ?? (existsSync(first) ? first : undefined)
}

/** Of the disk, in bytes: it may have been made larger than the image's. */
async function sizeNow({ virtualSize }: PreparedImage, top: string | undefined): Promise<number> {
  return top === undefined ? virtualSize : await sizeOfDisk({ path: top, format: "qcow2" })
}
