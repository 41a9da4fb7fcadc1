import type { MachineLink } from "../../network/machine-link.ts"
import type { LaunchPlan } from "../plan.ts"
import { connectTpm } from "../tpm/connected.ts"
import { tpmPid } from "../tpm/process.ts"
import { noteHelper } from "./helpers.ts"
import { type Kept, spawnKept } from "./keeper.ts"

/**
 * Starts the VMM of `plan`, which inherits its end of `link` if there is one, of its TPM if it is to have one, and
 * `shareEnds`. Throws what spawnKept and connectTpm throw; the link is let go of then.
 */
export async function spawnLinked(
  link: MachineLink | undefined,
  argv: readonly string[],
  plan: LaunchPlan,
  shareEnds: readonly number[] = [],
): Promise<Kept> {
  try {
    using tpm = plan.tpm && (await connectTpm(plan.tpm))
    if (plan.tpm) noteHelper(plan.directory, tpmPid(plan.tpm.state), "tpm")
    const inherited = link && { inherited: link.vmmEnd }
    return await spawnKept(argv, { ...plan, ...inherited, shareEnds, ...(tpm && { tpmEnd: tpm.vmmEnd }) })
  } catch (thrown) {
    link?.[Symbol.dispose]()
    throw thrown
  } finally {
    link?.handedOver()
  }
}
