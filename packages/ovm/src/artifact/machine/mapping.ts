import type { Descriptor } from "../../content/descriptor.ts"
import { excerpt, type Fault } from "../faults.ts"
import { Finder } from "../finder.ts"
import type { OciManifest } from "../oci.ts"
import {
  canonicalType,
  diskType,
  isManifestType,
  RAM_TABLE_TYPE,
  RAM_TYPES,
  SNAPSHOT_TYPE,
  STATE_TYPE,
} from "../types.ts"
import {
  type DiskFormat,
  type FurtherDisk,
  INITRD_TYPE,
  KERNEL_TYPE,
  type LayerRef,
  type OvmsManifest,
  VARIABLES_TYPE,
} from "./manifest.ts"

/** The file of a disk's layer. */
export interface DiskBlob {
  readonly descriptor: Descriptor
  readonly format: DiskFormat
}

/** The blobs of a machine by the part they play. */
export interface Parts {
  readonly kernel?: Descriptor
  readonly initrd?: Descriptor
  /** What the machine's UEFI firmware starts with. */
  readonly variables?: Descriptor
  readonly ramSnapshot?: Descriptor
  /** Beside `ramSnapshot`, where it can be resumed: what readInlineSnapshot reads (OVMS-SNP-080). */
  readonly snapshotDescriptor?: Descriptor
  /** The first disk's chain, base first. */
  readonly layers: readonly DiskBlob[]
  /** Disks beside the first. */
  readonly disks: readonly FurtherDisk<DiskBlob>[]
  /** What is no fault, but worth a word: sentences. */
  readonly warnings: readonly string[]
}

export interface PartsVerdict {
  readonly parts: Parts
  readonly faults: readonly Fault[]
}

const TERMS = {
  document: "manifest",
  name: "OVMS manifest",
  code: "OVM_ARTIFACT_INVALID",
  missing: "OVMS-OCI-030",
  type: "OVMS-OCI-031",
  size: "OVMS-OCI-032",
} as const

/**
 * Finds the blob behind every `ref` of `manifest` in its OCI manifest and compares what both say of it
 * (spec/oci-mapping.md).
 */
export function mapParts(oci: OciManifest, manifest: OvmsManifest): PartsVerdict {
  const finder = new Finder(oci, TERMS)
  const kernel = manifest.kernel && finder.typed("/kernel/ref", manifest.kernel.ref, KERNEL_TYPE)
  const initrd = manifest.initrd && finder.typed("/initrd/ref", manifest.initrd.ref, INITRD_TYPE)
  const variables =
    manifest.firmware && finder.sized("/firmware/variables", manifest.firmware.variables, VARIABLES_TYPE)
  const ram = manifest.ramSnapshot
  const ramSnapshot = ram && finder.typed("/ramSnapshot/ref", ram.ref, RAM_TYPES[ram.compression])
  const found = (at: string, layers: readonly LayerRef[]) =>
    layers.flatMap((layer, index) => finder.disk(`${at}/${index}`, layer) ?? [])
  const layers = found("/diskLayers", manifest.diskLayers ?? [])
  const disks = (manifest.disks ?? []).map(({ layers, ...disk }, index) => ({
    ...disk,
    ...(layers && { layers: found(`/disks/${index}/layers`, layers) }),
  }))
  const snapshotDescriptor = ram && descriptorBeside(oci)
  const warnings = finder.unused().flatMap(({ digest, mediaType }) => {
    if (isManifestType(mediaType) || (snapshotDescriptor && isSnapshotPart(mediaType))) return []
    return `the OVMS manifest does not refer to ${digest} (${excerpt(mediaType)}), which is ignored`
  })
  if (ram && !snapshotDescriptor)
    warnings.push(
      "ramSnapshot has no device state and snapshot descriptor beside it, so the machine boots instead of resuming",
    )
  const parts = {
    ...(kernel && { kernel }),
    ...(initrd && { initrd }),
    ...(variables && { variables }),
    ...(ramSnapshot && { ramSnapshot }),
    ...(snapshotDescriptor && { snapshotDescriptor }),
    layers,
    disks,
    warnings,
  }
  return { parts, faults: finder.faults }
}

/**
 * The descriptor that makes RAM beside the machine a snapshot, if there is one, and device state too (OVMS-SNP-080).
 */
function descriptorBeside(oci: OciManifest): Descriptor | undefined {
  const ofType = (type: string) => oci.layers.filter(({ mediaType }) => canonicalType(mediaType) === type)
  const [found, second] = ofType(SNAPSHOT_TYPE)
  return found && !second && ofType(STATE_TYPE).length > 0 ? found : undefined
}

function isSnapshotPart(mediaType: string): boolean {
  const type = canonicalType(mediaType)
  return diskType(type).isDisk || [SNAPSHOT_TYPE, STATE_TYPE, RAM_TABLE_TYPE].includes(type)
}
