import type { Plan } from "../runtime/plan.ts"
import { policyAgainPlans } from "./again.ts"
import { policyAgePlans } from "./age.ts"
import { policyFilePlans } from "./file.ts"
import { policyFoundSnapshotPlans } from "./found-snapshots.ts"
import { policyLocalSnapshotPlans } from "./local-snapshots.ts"
import { policyScopePlans } from "./scopes.ts"
import { policySignedPlans } from "./signed.ts"
import { policySnapshotPlans } from "./snapshots.ts"

/** A runtime and its policy. */
export const policyPlans: readonly Plan[] = [
  ...policyFilePlans,
  ...policyAgePlans,
  ...policyScopePlans,
  ...policySignedPlans,
  ...policyAgainPlans,
  ...policySnapshotPlans,
  ...policyLocalSnapshotPlans,
  ...policyFoundSnapshotPlans,
]
