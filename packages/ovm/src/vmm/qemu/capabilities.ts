import { join } from "node:path"
import { OvmError } from "../../errors.ts"
import { bootId } from "../../host/boot-id.ts"
import { known } from "../known.ts"
import type { Binary } from "../program.ts"
import type { Capabilities } from "../vmm.ts"
import { canOpenKvm, probeAccelerator } from "./accelerator.ts"
import { boardOf } from "./board.ts"
import { findArm, findQemu, machineTypesOf, versionOf } from "./find.ts"

/** What the answer depends on: another host start or another QEMU means asking again. */
interface Key extends Binary {
  readonly bootId: string
  /** Whoever was let into its group, or loads its module, is not to wait for the host's next start. */
  readonly kvm: boolean
  /** Of what is kept. */
  readonly schema: number
}

const SCHEMA = 4

/** What an installed QEMU can do, and what only its adapter asks for. */
export interface QemuCapabilities extends Capabilities {
  /** The machine type of new machines: the newest, or just `q35` of a QEMU that does not name its versions. */
  readonly machineType: string
}

/**
 * Finds QEMU, asks its version and probes the accelerator; the answer is kept in `folder` until the host restarts or
 * another QEMU is installed, since asking takes up to a second. Throws OVM_VMM_MISSING, and OVM_HOST_FAILED where the
 * host could not start it just now.
 */
export async function qemuCapabilities(folder: string): Promise<QemuCapabilities> {
  const key: Key = { ...(await findQemu()), bootId: bootId(), kvm: canOpenKvm(), schema: SCHEMA }
  let untried = false
  const find = async () => {
    const version = await versionOf(key)
    const { accelerator, reason, ...probed } = await probeAccelerator(key.path, folder)
    untried = probed.untried === true
    const all = await machineTypesOf(key)
    return {
      name: "qemu",
      version,
      binary: key.path,
      accelerator,
      acceleratorReason: reason,
      // Emulation works wherever QEMU does.
      accelerators: accelerator === "tcg" ? ["tcg"] : [accelerator, "tcg"],
      machineType: all[0] ?? "q35",
      // One that does not name its versions cannot be resumed, but runs.
      ...(all.length > 0 && { snapshots: { machineTypes: all } }),
    }
  }
  const found = await known(join(folder, "qemu.json"), key, find, () => untried)
  const { snapshots, ...rest } = found
  return {
    ...rest,
    ...(snapshots && { snapshots: { ...snapshots, emulatedBefore: boardOf({}).emulatedBefore } }),
    architectures: findArm() ? ["amd64", "arm64"] : ["amd64"],
  }
}

/**
 * The same of the QEMU for arm64, which emulates. It takes no snapshots: what its guests see is in no snapshot's
 * description yet. Throws OVM_VMM_MISSING.
 */
export async function armCapabilities(folder: string): Promise<QemuCapabilities> {
  const board = boardOf({ architecture: "arm64" })
  const binary = findArm()
  if (!binary)
    throw new OvmError("OVM_VMM_MISSING", `QEMU cannot be used for arm64: ${board.program} is not on PATH`, {
      hint: `apt-get install ${board.debian}`,
    })
  const key = { ...binary, schema: SCHEMA }
  return await known(join(folder, "qemu-arm64.json"), key, async () => ({
    name: "qemu",
    version: await versionOf(binary),
    binary: binary.path,
    accelerator: "tcg",
    acceleratorReason: "guests for arm64 are emulated",
    accelerators: ["tcg"],
    architectures: ["arm64"],
    machineType: (await machineTypesOf(binary, board))[0] ?? board.newest,
  }))
}
