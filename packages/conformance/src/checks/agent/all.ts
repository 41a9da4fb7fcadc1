import type { Plan } from "../runtime/plan.ts"
import { anotherAgentPlans } from "./another.ts"
import { agentChannelPlans } from "./channel.ts"
import { agentCommandPlans } from "./commands.ts"
import { agentGuestPlans } from "./guest.ts"
import { agentHangPlans } from "./hangs.ts"
import { outcomePlans } from "./outcome.ts"
import { agentSnapshotPlans } from "./snapshots.ts"
import { virtiofsPlans } from "./virtiofs.ts"

/** A runtime and the agent of its machine, which is the suite. */
export const agentPlans: readonly Plan[] = [
  ...agentChannelPlans,
  ...agentCommandPlans,
  ...agentGuestPlans,
  ...agentHangPlans,
  ...agentSnapshotPlans,
  ...anotherAgentPlans,
  ...outcomePlans,
  ...virtiofsPlans,
]
