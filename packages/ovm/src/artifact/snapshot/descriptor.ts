import type { Digest } from "../../content/digest.ts"
import type { RamCompression } from "../../ram/format.ts"
import { type Fault, faultOfJson, faultsError } from "../faults.ts"
import { snapshot } from "../generated/snapshot.js"
import places from "../generated/snapshot.places.json" with { type: "json" }
import { readJson } from "../json.ts"
import { type DocumentSchema, schemaFaults } from "../schema.ts"
import type { SNAPSHOT_TYPE } from "../types.ts"

const SCHEMA: DocumentSchema = {
  document: "snapshot",
  code: "OVM_SNAPSHOT_INVALID",
  validate: snapshot,
  places,
}

/** The snapshot descriptor v1 (spec/snapshot.md, spec/schema/snapshot.v1.json). Sizes are bytes. */
export interface SnapshotDescriptor {
  readonly schemaVersion: 1
  readonly mediaType: typeof SNAPSHOT_TYPE
  readonly os?: string
  readonly architecture: "amd64"
  readonly created: string
  /** Absent only where the RAM lies beside the machine itself (OVMS-SNP-081). */
  readonly base?: { readonly digest: Digest; readonly repository?: string }
  readonly parent?: Digest
  readonly vmm: SnapshotVmm
  readonly host?: SnapshotHost
  readonly resources: { readonly vcpus: number; readonly memory: number }
  /** Every device that the VMM was given, in its words, in order. */
  readonly devices: readonly string[]
  /**
   * The kernel arguments that the machine was started with; there where the guest may still read what it was started
   * with.
   */
  readonly boot?: { readonly args: string }
  readonly ram: {
    readonly ref: Digest
    readonly compression: RamCompression
    readonly table?: Digest
    /** Inflated. */
    readonly size: number
    /** The memory digest: of the digests of all chunks (OVMS-SNP-023). */
    readonly digest: Digest
    /** The map of the pages that differ from the parent's, and how many they are. */
    readonly changed?: { readonly ref: Digest; readonly pages: number }
    readonly preload_hint?: boolean
    readonly mlock_required?: boolean
  }
  readonly state: { readonly ref: Digest }
  /** What was written to the disk since the base, the lowest first. */
  readonly overlays: readonly OverlayRef[]
  /** The same of each further disk that the guest can write to. */
  readonly disks?: readonly { readonly name: string; readonly overlays: readonly OverlayRef[] }[]
  readonly uniqueness: { readonly vmgenid: boolean; readonly multiResume: "allow" | "deny" }
  readonly scrub?: {
    readonly checked: boolean
    readonly findings: readonly {
      readonly kind: string
      readonly count: number
      /** The lowest places in the RAM, in bytes. */
      readonly offsets?: readonly number[]
    }[]
  }
}

export interface OverlayRef {
  readonly ref: Digest
  readonly format: "qcow2"
  readonly size: number
}

export interface SnapshotVmm {
  readonly name: string
  readonly version: string
  /** Of RAM and device state, in the VMM's words. */
  readonly format: string
  readonly machine: string
  readonly accelerator: string
  readonly cpuModel: string
}

export interface SnapshotHost {
  readonly cpuVendor?: string
  readonly cpuModel?: string
  /** As hostCpu of host/cpu.ts makes it (OVMS-SNP-019). */
  readonly cpuFeatures?: Digest
  /** Where the VMM needs the same. */
  readonly kernel?: string
}

export interface SnapshotVerdict {
  /** Set if there is no fault. */
  readonly snapshot?: SnapshotDescriptor
  readonly faults: readonly Fault[]
}

/** Judges the bytes of a snapshot descriptor and reports all faults at once (spec/snapshot.md). Throws nothing. */
export function validateSnapshot(bytes: Uint8Array): SnapshotVerdict {
  const read = readJson(bytes)
  if ("fault" in read) return { faults: [faultOfJson("snapshot", "OVM_SNAPSHOT_INVALID", read.fault)] }
  const broken = schemaFaults(SCHEMA, read.value)
  if (broken.length > 0) return { faults: broken }
  const snapshot = read.value as SnapshotDescriptor
  const faults = [
    ...memoryFaults(snapshot),
    ...parentFaults(snapshot),
    ...hostFaults(snapshot),
    ...nameFaults(snapshot),
  ]
  return faults.length > 0 ? { faults } : { snapshot, faults }
}

/** The snapshot descriptor in `bytes`. Throws OVM_SNAPSHOT_INVALID or OVM_TOO_LARGE with every fault as `detail`. */
export function parseSnapshot(bytes: Uint8Array, what = "the snapshot descriptor"): SnapshotDescriptor {
  const { snapshot, faults } = validateSnapshot(bytes)
  if (!snapshot) throw faultsError(what, faults)
  return snapshot
}

export function snapshotFault(pointer: string, requirement: string, message: string): Fault {
  return { document: "snapshot", pointer, requirement, code: "OVM_SNAPSHOT_INVALID", message }
}

function memoryFaults({ ram, resources }: SnapshotDescriptor): Fault[] {
  if (ram.size === resources.memory) return []
  const reason = `size is ${ram.size}, but resources.memory is ${resources.memory}`
  return [snapshotFault("/ram/size", "OVMS-SNP-022", reason)]
}

function parentFaults({ ram, parent }: SnapshotDescriptor): Fault[] {
  if (!ram.changed || parent) return []
  return [snapshotFault("/ram/changed", "OVMS-SNP-120", "changed is there, but there is no parent")]
}

function nameFaults({ disks = [] }: SnapshotDescriptor): Fault[] {
  const names = disks.map(({ name }) => name)
  return names.flatMap((name, index) =>
    names.indexOf(name) < index
      ? [snapshotFault(`/disks/${index}/name`, "OVMS-SNP-176", `there are two disks called ${name}`)]
      : [],
  )
}

/** Under TCG the guest sees nothing of the host's CPU (OVMS-SNP-018). */
function hostFaults({ vmm, host }: SnapshotDescriptor): Fault[] {
  if (vmm.accelerator === "tcg") return []
  const needed = ["cpuVendor", "cpuModel", "cpuFeatures"] as const
  return needed
    .filter((name) => host?.[name] === undefined)
    .map((name) =>
      snapshotFault(
        `/host/${name}`,
        "OVMS-SNP-018",
        `${name} is missing, which matters since the accelerator is not tcg`,
      ),
    )
}
