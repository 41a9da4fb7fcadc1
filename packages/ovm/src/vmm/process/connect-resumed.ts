import { setTimeout as sleep } from "node:timers/promises"
import type { MachineLink } from "../../network/machine-link.ts"
import type { LaunchPlan } from "../plan.ts"
import { startLink } from "./added-ports.ts"

/**
 * How long a guest that goes on from a snapshot has no link: its kernel has seen the change of the VM generation ID by
 * then, and nothing from outside reaches it before (OVMS-SNP-093, OVMS-SNP-161).
 */
const UNLINKED_MS = 50

/**
 * Connects a guest that goes on from a snapshot, once it runs: starts what carries its frames, opens its ports, and has
 * `plugIn` bring its link up; without that an agent does, later (OVMS-SNP-170). Throws what startLink throws.
 */
export async function connectResumed(
  link: MachineLink | undefined,
  { network, directory }: LaunchPlan,
  plugIn: (() => Promise<void>) | undefined,
): Promise<void> {
  if (plugIn) await sleep(UNLINKED_MS)
  if (network && link) await startLink(link, directory, network)
  await plugIn?.()
}

/** Whether ports lead into it. */
export function hasPorts({ network }: LaunchPlan): boolean {
  return (network?.forwards ?? []).length > 0
}
