import type { Digest } from "../../content/digest.ts"
import { OvmError } from "../../errors.ts"
import type { SnapshotDescriptor, SnapshotHost, SnapshotVmm } from "./descriptor.ts"

/**
 * What this host would resume a machine with: gathered by the runtime, from the VMM's adapter, the plan and
 * host/cpu.ts. What it could not learn is left out, and then counts as different (OVMS-SNP-073).
 */
export interface HostFacts {
  readonly architecture?: string
  readonly vmm?: Partial<Omit<SnapshotVmm, "format" | "machine" | "cpuModel">> & {
    /** All formats that it reads; all machine types and CPU models that it has. One text where there is one. */
    readonly format?: string | readonly string[]
    readonly machine?: string | readonly string[]
    readonly cpuModel?: string | readonly string[]
  }
  readonly host?: SnapshotHost
  readonly resources?: { readonly vcpus?: number; readonly memory?: number }
  readonly devices?: readonly string[]
  /** Of the base whose disk goes below the overlays. */
  readonly base?: Digest
}

/** One field that does not fit. */
export interface Mismatch {
  /** JSON pointer into the snapshot descriptor. */
  readonly field: string
  readonly snapshot: unknown
  /** What this host has; absent if it could not be learnt. */
  readonly host?: unknown
}

type Pair = readonly [field: string, snapshot: unknown, host: unknown]

/**
 * Everything in which a snapshot and this host differ, in the order of the descriptor; none: it fits. Pure
 * (OVMS-SNP-070 to 073).
 */
export function compare(snapshot: SnapshotDescriptor, facts: HostFacts): readonly Mismatch[] {
  const { vmm, resources, host = {} } = snapshot
  // Under TCG the guest sees nothing of the host's CPU (OVMS-SNP-071).
  const hostFields = vmm.accelerator === "tcg" ? [] : (Object.keys(host) as (keyof SnapshotHost)[])
  // Beside a machine a snapshot names no base: it is that machine (OVMS-SNP-081).
  const base: Pair[] = snapshot.base ? [["/base/digest", snapshot.base.digest, facts.base]] : []
  const pairs: Pair[] = [
    ["/architecture", snapshot.architecture, facts.architecture],
    ...base,
    ["/vmm/name", vmm.name, facts.vmm?.name],
    ["/vmm/version", vmm.version, facts.vmm?.version],
    ["/vmm/format", vmm.format, facts.vmm?.format],
    ["/vmm/machine", vmm.machine, facts.vmm?.machine],
    ["/vmm/accelerator", vmm.accelerator, facts.vmm?.accelerator],
    ["/vmm/cpuModel", vmm.cpuModel, facts.vmm?.cpuModel],
    ...hostFields.map((name): Pair => [`/host/${name}`, host[name], facts.host?.[name]]),
    ["/resources/vcpus", resources.vcpus, facts.resources?.vcpus],
    ["/resources/memory", resources.memory, facts.resources?.memory],
    ["/devices", snapshot.devices, facts.devices],
  ]
  return pairs
    .filter(([, wanted, found]) => !fits(wanted, found))
    .map(([field, wanted, found]) => ({
      field,
      snapshot: wanted,
      ...(found !== undefined && { host: found }),
    }))
}

/** A list on the host's side is a choice, unless the snapshot has a list as well. */
function fits(wanted: unknown, found: unknown): boolean {
  if (Array.isArray(found) && !Array.isArray(wanted)) return found.includes(wanted)
  return JSON.stringify(wanted) === JSON.stringify(found)
}

/**
 * The error for `mismatches` of the snapshot `what`: OVM_SNAPSHOT_INCOMPATIBLE with all of them as `detail`;
 * OVM_BASE_MISMATCH if nothing but the base is wrong, since no other host would help.
 */
export function incompatible(what: string, mismatches: readonly Mismatch[]): OvmError {
  const wrongBase = mismatches.every(({ field }) => field === "/base/digest")
  const list = mismatches.map(
    ({ field, snapshot, host }) => `${field} is ${shown(snapshot)}, here ${shown(host)}`,
  )
  return new OvmError(
    wrongBase ? "OVM_BASE_MISMATCH" : "OVM_SNAPSHOT_INCOMPATIBLE",
    `${what} does not fit this host: ${list.join("; ")}`,
    {
      detail: mismatches,
      ...(!wrongBase && { hint: "Boot its base instead: --cold-boot-on-mismatch." }),
    },
  )
}

function shown(value: unknown): string {
  if (value === undefined) return "unknown"
  return Array.isArray(value) ? value.join(", ") || "nothing" : String(value)
}
