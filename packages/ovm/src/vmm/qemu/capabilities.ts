import { mkdir, readFile } from "node:fs/promises"
import { dirname, join } from "node:path"
import { replaceFile, sweepTemporaries } from "../../files/replace.ts"
import { bootId } from "../../host/boot-id.ts"
import type { Capabilities } from "../vmm.ts"
import { canOpenKvm, probeAccelerator } from "./accelerator.ts"
import { type Binary, findQemu, machineTypesOf, versionOf } from "./find.ts"

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
 * another QEMU is installed, since asking takes up to a second. Throws OVM_VMM_MISSING.
 */
export async function qemuCapabilities(folder: string): Promise<QemuCapabilities> {
  const key: Key = { ...(await findQemu()), bootId: bootId(), kvm: canOpenKvm(), schema: SCHEMA }
  const file = join(folder, "qemu.json")
  const kept = await readKept(file, key)
  if (kept) return kept
  const version = await versionOf(key)
  const { accelerator, reason } = await probeAccelerator(key.path, folder)
  const all = await machineTypesOf(key)
  const found = {
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
  // A cache that cannot be written costs time, not the answer.
  await keep(file, { key, capabilities: found }).catch(() => {})
  return found
}

interface Kept {
  readonly key: Key
  readonly capabilities: QemuCapabilities
}

/** What was found last in this process, by file: every start asks. */
const remembered = new Map<string, Kept>()

async function readKept(file: string, key: Key): Promise<QemuCapabilities | undefined> {
  try {
    const kept = remembered.get(file) ?? (JSON.parse(await readFile(file, "utf8")) as Kept)
    remembered.set(file, kept)
    return JSON.stringify(kept.key) === JSON.stringify(key) ? kept.capabilities : undefined
  } catch {
    return undefined
  }
}

async function keep(file: string, kept: Kept): Promise<void> {
  remembered.set(file, kept)
  await mkdir(dirname(file), { recursive: true, mode: 0o700 })
  await sweepTemporaries(dirname(file))
  await replaceFile(file, JSON.stringify(kept))
}
