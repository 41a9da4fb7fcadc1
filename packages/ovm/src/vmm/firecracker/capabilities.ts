import { join } from "node:path"
import { bootId } from "../../host/boot-id.ts"
import { known } from "../known.ts"
import type { Binary } from "../program.ts"
import type { Capabilities } from "../vmm.ts"
import { findFirecracker, firecrackerMissing, firecrackerVersion } from "./find.ts"
import { kvmFault, probeKvm } from "./probe.ts"

/** What the answer depends on: another host start or another Firecracker means asking again. */
interface Key extends Binary {
  readonly bootId: string
  /** Of what is kept. */
  readonly schema: number
}

const SCHEMA = 1

/**
 * Finds Firecracker, asks its version and has it run a guest; the answer is kept in `folder` until the host restarts or
 * another one is installed. What does not work is tried again. Throws OVM_VMM_MISSING with the verdict.
 */
export async function firecrackerCapabilities(folder: string): Promise<Capabilities> {
  const key: Key = { ...findFirecracker(), bootId: bootId(), schema: SCHEMA }
  const fault = kvmFault()
  if (fault) throw firecrackerMissing(fault.reason, fault.hint)
  return await known(join(folder, "firecracker.json"), key, async () => ({
    name: "firecracker",
    version: await firecrackerVersion(key),
    binary: key.path,
    accelerator: "kvm",
    acceleratorReason: await probeKvm(key.path, folder),
    accelerators: ["kvm"],
  }))
}
