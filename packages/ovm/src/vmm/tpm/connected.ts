import { closeSync } from "node:fs"
import { socketPair } from "../../host/libc.ts"
import type { TpmPlan } from "../plan.ts"
import { endTpm, outlived } from "./process.ts"
import { startSwtpm } from "./swtpm.ts"

/** A TPM that runs. It ends by itself once the VMM that spoke to it has gone, and else by `endTpm`. */
export interface ConnectedTpm extends Disposable {
  /** For the VMM to inherit; this process's is closed with it. */
  readonly vmmEnd: number
}

/** Starts the TPM of a machine. Throws OVM_TOO_MANY, and what outlived and startSwtpm throw. */
export async function connectTpm({ state }: TpmPlan): Promise<ConnectedTpm> {
  endTpm(state)
  await outlived(state)
  const [vmmEnd, own] = socketPair()
  try {
    await startSwtpm(state, own)
    return { vmmEnd, [Symbol.dispose]: () => closeSync(vmmEnd) }
  } catch (thrown) {
    closeSync(vmmEnd)
    throw thrown
  } finally {
    closeSync(own)
  }
}
