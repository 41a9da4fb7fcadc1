import { join } from "node:path"
import { bootId } from "../../host/boot-id.ts"
import { known } from "../known.ts"
import type { Binary } from "../program.ts"
import type { Capabilities } from "../vmm.ts"
import { findFirecracker, firecrackerMissing, firecrackerVersion, snapshotFormat } from "./find.ts"
import { jailerOf } from "./jail/find.ts"
import { isolationOf } from "./jail/isolation.ts"
import type { Jailer } from "./jail/place.ts"
import { type JailSettings, UIDS } from "./jail/settings.ts"
import { kvmFault, probeKvm } from "./probe.ts"

/** What the answer depends on: another host start or another Firecracker means asking again. */
interface Key extends Binary {
  readonly bootId: string
  /** Of what is kept. */
  readonly schema: number
  /** What an operator said of jails, and with which jailer, if there is one. */
  readonly jail: JailSettings
  readonly beside?: Binary
}

const SCHEMA = 3

/** What a machine is called in its snapshots: there is one type. */
export const MACHINE_TYPE = "firecracker"

export interface FirecrackerCapabilities extends Capabilities {
  /** How its snapshots are written, such as `firecracker-10`. */
  readonly snapshotFormat: string
  /** Present if its machines are jailed. */
  readonly jailer?: Jailer
}

/**
 * Finds Firecracker, asks its version and has it run a guest; the answer is kept in `folder` until the host restarts or
 * another one is installed. What does not work is tried again. Throws OVM_VMM_MISSING with the verdict.
 */
export async function firecrackerCapabilities(
  folder: string,
  jail: JailSettings = UIDS,
): Promise<FirecrackerCapabilities> {
  const binary = findFirecracker()
  const beside = jailerOf(binary)
  const key: Key = { ...binary, bootId: bootId(), schema: SCHEMA, jail, ...(beside && { beside }) }
  const fault = kvmFault()
  if (fault) throw firecrackerMissing(fault.reason, fault.hint)
  const found = await known(join(folder, "firecracker.json"), key, async () => ({
    name: "firecracker",
    version: await firecrackerVersion(key),
    binary: key.path,
    accelerator: "kvm",
    acceleratorReason: await probeKvm(key.path, folder),
    accelerators: ["kvm"],
    snapshots: { machineTypes: [MACHINE_TYPE] },
    snapshotFormat: await snapshotFormat(key),
  }))
  return { ...found, ...(await isolationOf(key, { beside, jail, folder })) }
}
