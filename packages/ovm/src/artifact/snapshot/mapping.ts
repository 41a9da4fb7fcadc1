import type { Descriptor } from "../../content/descriptor.ts"
import { pagesSize, tableSize } from "../../ram/format.ts"
import { excerpt, type Fault } from "../faults.ts"
import { Finder } from "../finder.ts"
import type { DiskFormat } from "../machine/manifest.ts"
import { type OciManifest, ociFault, validateOciManifest } from "../oci.ts"
import { RAM_PAGES_TYPE, RAM_TABLE_ANNOTATION, RAM_TABLE_TYPE, RAM_TYPES, STATE_TYPE } from "../types.ts"
import { snapshotAnnotations } from "./annotations.ts"
import { type SnapshotDescriptor, snapshotFault, validateSnapshot } from "./descriptor.ts"

/** The blobs of a snapshot by the part they play. */
export interface SnapshotBlobs {
  readonly ram: Descriptor
  /** Absent where plain tools made the RAM. */
  readonly table?: Descriptor
  /** The map of the pages that differ from the parent's. */
  readonly changed?: Descriptor
  readonly state: Descriptor
  /** Above the base's chain, the lowest first. */
  readonly overlays: readonly OverlayBlob[]
  /** The same of further disks, by name. */
  readonly disks: readonly { readonly name: string; readonly overlays: readonly OverlayBlob[] }[]
}

export interface OverlayBlob {
  readonly descriptor: Descriptor
  readonly format: DiskFormat
}

const TERMS = {
  document: "snapshot",
  name: "snapshot descriptor",
  code: "OVM_SNAPSHOT_INVALID",
  missing: "OVMS-SNP-030",
  type: "OVMS-SNP-031",
  size: "OVMS-SNP-032",
} as const

export interface SnapshotBlobsVerdict {
  /** Set if there is no fault. */
  readonly parts?: SnapshotBlobs
  readonly faults: readonly Fault[]
}

/**
 * Finds the blob behind every ref of `snapshot` in its OCI manifest and compares what both say of it
 * (spec/snapshot.md).
 */
export function mapSnapshotBlobs(oci: OciManifest, snapshot: SnapshotDescriptor): SnapshotBlobsVerdict {
  const finder = new Finder(oci, TERMS)
  const { ram: memory } = snapshot
  const ram = finder.typed("/ram/ref", memory.ref, RAM_TYPES[memory.compression])
  const table = memory.table && finder.typed("/ram/table", memory.table, RAM_TABLE_TYPE)
  const changed = memory.changed && finder.typed("/ram/changed/ref", memory.changed.ref, RAM_PAGES_TYPE)
  const state = finder.typed("/state/ref", snapshot.state.ref, STATE_TYPE)
  const found = (at: string, overlays: SnapshotDescriptor["overlays"]) =>
    overlays.flatMap((overlay, index) => finder.disk(`${at}/overlays/${index}`, overlay) ?? [])
  const overlays = found("", snapshot.overlays)
  const disks = (snapshot.disks ?? []).map(({ name, overlays }, index) => ({
    name,
    overlays: found(`/disks/${index}`, overlays),
  }))
  const faults = [
    ...finder.faults,
    ...tableFaults(oci, snapshot, ram, table),
    ...pagesFaults(snapshot, changed),
  ]
  if (faults.length > 0 || !ram || !state) return { faults }
  const parts = { ram, ...(table && { table }), ...(changed && { changed }), state, overlays, disks }
  return { parts, faults }
}

/**
 * Compares as `mapSnapshotBlobs` does, and for a snapshot that is an artifact of its own also what its manifest says of
 * the base and in its annotations.
 */
export function mapSnapshot(oci: OciManifest, snapshot: SnapshotDescriptor): SnapshotBlobsVerdict {
  const { parts, faults: broken } = mapSnapshotBlobs(oci, snapshot)
  const faults = [...baseFaults(oci, snapshot), ...broken, ...annotationFaults(oci, snapshot)]
  return faults.length > 0 || !parts ? { faults } : { parts, faults }
}

export interface SnapshotArtifactVerdict {
  /** Set if there is no fault. */
  readonly artifact?: {
    readonly oci: OciManifest
    readonly snapshot: SnapshotDescriptor
    readonly parts: SnapshotBlobs
  }
  readonly faults: readonly Fault[]
}

/**
 * Judges an OCI manifest together with the snapshot descriptor that it carries, as far as bytes alone tell
 * (spec/snapshot.md). That the two belong together by digest is for whoever fetched them. Throws nothing.
 */
export function validateSnapshotArtifact(
  ociBytes: Uint8Array,
  descriptorBytes: Uint8Array,
): SnapshotArtifactVerdict {
  const { oci, faults: ociFaults } = validateOciManifest(ociBytes, "snapshot")
  const { snapshot, faults: descriptorFaults } = validateSnapshot(descriptorBytes)
  const before = [...ociFaults, ...descriptorFaults]
  if (!oci || !snapshot) return { faults: before }
  const { parts, faults } = mapSnapshot(oci, snapshot)
  return parts ? { artifact: { oci, snapshot, parts }, faults } : { faults }
}

/** OVMS-SNP-033 and OVMS-SNP-034. */
function tableFaults(
  oci: OciManifest,
  { ram: memory }: SnapshotDescriptor,
  ram: Descriptor | undefined,
  table: Descriptor | undefined,
): Fault[] {
  const faults: Fault[] = []
  const annotated = ram?.annotations?.[RAM_TABLE_ANNOTATION]
  if (ram && annotated !== undefined && annotated !== memory.table)
    faults.push(
      ociFault(
        `/layers/${oci.layers.indexOf(ram)}/annotations/${RAM_TABLE_ANNOTATION}`,
        "OVMS-SNP-033",
        `${RAM_TABLE_ANNOTATION} is ${excerpt(annotated)}, but the snapshot descriptor says ${memory.table ?? "that there is no table"}`,
        "OVM_SNAPSHOT_INVALID",
      ),
    )
  const expected = tableSize(memory.size)
  if (table && table.size !== expected)
    faults.push(
      snapshotFault(
        "/ram/table",
        "OVMS-SNP-034",
        `the table of frames has ${table.size} bytes, where RAM of ${memory.size} bytes needs ${expected}`,
      ),
    )
  return faults
}

function pagesFaults({ ram }: SnapshotDescriptor, changed: Descriptor | undefined): Fault[] {
  const expected = pagesSize(ram.size)
  if (!changed || changed.size === expected) return []
  return [
    snapshotFault(
      "/ram/changed",
      "OVMS-SNP-121",
      `the map of changed pages has ${changed.size} bytes, where RAM of ${ram.size} bytes needs ${expected}`,
    ),
  ]
}

/** OVMS-SNP-003 and OVMS-SNP-082. */
function baseFaults(oci: OciManifest, { base }: SnapshotDescriptor): Fault[] {
  if (!base) return [snapshotFault("/base", "OVMS-SNP-082", "base is missing")]
  if (oci.subject?.digest === base.digest) return []
  const said = oci.subject ? `it is ${oci.subject.digest}` : "it is missing"
  const reason = `the subject must be the base ${base.digest}, but ${said}`
  return [
    ociFault("/subject", "OVMS-SNP-003", reason, oci.subject ? "OVM_BASE_MISMATCH" : "OVM_SNAPSHOT_INVALID"),
  ]
}

/** OVMS-SNP-007. */
function annotationFaults(oci: OciManifest, snapshot: SnapshotDescriptor): Fault[] {
  return Object.entries(snapshotAnnotations(snapshot)).flatMap(([name, expected]) => {
    const found = oci.annotations?.[name]
    if (found === undefined || found === expected) return []
    const reason = `${name} is ${excerpt(found)}, but the snapshot descriptor says ${excerpt(expected)}`
    return [ociFault(`/annotations/${name}`, "OVMS-SNP-007", reason, "OVM_SNAPSHOT_INVALID")]
  })
}
