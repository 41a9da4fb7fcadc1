import type { LaunchPlan, Unsupported } from "../plan.ts"
import { INHERITED } from "../process/keeper.ts"

/** What carries the frames of a machine, whose process inherits it. */
export type Frames = "stream" | "tap"

/** The plan as an adapter gets it (spec/runtimes/adapter.md, "The plan"). `overlay` is that of the first disk. */
export function planFor(plan: LaunchPlan, overlay: string | undefined, frames: Frames | undefined) {
  const { id, directory, resources, kernel, initrd, disk, disks, devices, volumes, ...others } = plan
  const { firstBoot, ignition, network, agent, accelerator, generationId } = others
  return {
    ...{ id, directory, resources, kernel, initrd, disks, devices, volumes },
    ...{ firstBoot, ignition, agent, accelerator, generationId },
    ...(disk && { disk: { ...disk, ...(overlay !== undefined && { overlay }) } }),
    ...(network && { network: { mac: network.mac, ...(frames && { descriptor: INHERITED, frames }) } }),
  }
}

/** What version 1 of the contract has no word for: an adapter would not even know that it is missing. */
export function* checkWords({ shares = [], disk, disks = [], uefi, tpm }: LaunchPlan): Iterable<Unsupported> {
  const severity = "fatal" as const
  if (uefi)
    yield {
      pointer: "/metadata/platform/uefi",
      severity,
      reason: "the adapter contract has no UEFI firmware",
    }
  if (tpm) yield { pointer: "/metadata/platform/tpm", severity, reason: "the adapter contract has no TPM" }
  if (shares.length > 0) yield { pointer: "shares", severity, reason: "the adapter contract has no shares" }
  if ([disk, ...disks].some((one) => one?.layers.some((layer) => !("path" in layer))))
    yield { pointer: "/diskLayers", severity, reason: "the adapter contract has no layers that are served" }
}
