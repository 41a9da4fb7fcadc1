import type { LaunchPlan } from "../plan.ts"
import { INHERITED } from "../process/keeper.ts"

/** What carries the frames of a machine, whose process inherits it. */
export type Frames = "stream" | "tap"

/** The plan as an adapter gets it (spec/runtimes/adapter.md, "The plan"). `overlay` is that of the first disk. */
export function planFor(plan: LaunchPlan, overlay: string | undefined, frames: Frames | undefined) {
  const { bounds: _, consoleLimit: __, network, disk, ...others } = plan
  return {
    ...others,
    ...(disk && { disk: { ...disk, ...(overlay !== undefined && { overlay }) } }),
    ...(network && { network: { mac: network.mac, ...(frames && { descriptor: INHERITED, frames }) } }),
  }
}
