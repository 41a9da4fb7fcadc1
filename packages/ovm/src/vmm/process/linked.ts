import type { MachineLink } from "../../network/machine-link.ts"
import type { LaunchPlan } from "../plan.ts"
import { type Kept, spawnKept } from "./keeper.ts"

/**
 * Starts the VMM of `plan`, which inherits its end of `link` if there is one. Throws what spawnKept throws; the link is
 * let go of then.
 */
export async function spawnLinked(
  link: MachineLink | undefined,
  argv: readonly string[],
  plan: LaunchPlan,
): Promise<Kept> {
  try {
    return await spawnKept(argv, { ...plan, ...(link && { inherited: link.vmmEnd }) })
  } catch (thrown) {
    link?.[Symbol.dispose]()
    throw thrown
  } finally {
    link?.handedOver()
  }
}
