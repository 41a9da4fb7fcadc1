import type { Descriptor } from "../../content/descriptor.ts"
import type { Call, Fetcher } from "../../content/interfaces.ts"
import { OCI_MANIFEST } from "../../content/manifest.ts"
import { fetchAll } from "../../content/read.ts"
import { OvmError } from "../../errors.ts"
import { faultsError } from "../faults.ts"
import { DOCUMENT_BYTES } from "../json.ts"
import type { Artifact } from "../machine/read.ts"
import { artifactTypeOf, type OciManifest, validateOciManifest } from "../oci.ts"
import { SNAPSHOT_TYPE } from "../types.ts"
import { parseSnapshot, type SnapshotDescriptor, snapshotFault } from "./descriptor.ts"
import { mapSnapshot, mapSnapshotBlobs, type SnapshotBlobs } from "./mapping.ts"

/** A snapshot whose documents are read, verified and judged; its blobs are only named. */
export interface Snapshot extends SnapshotBlobs {
  /** Of the OCI manifest; its digest is the `snapshot_ref` of the API. */
  readonly descriptor: Descriptor
  /** The base's OCI manifest, by digest and size. Beside a machine, the machine's own. */
  readonly base: Descriptor
  readonly snapshot: SnapshotDescriptor
  readonly oci: OciManifest
}

/** Whether the OCI manifest behind `descriptor` says that it is a snapshot. False for what is no OCI image manifest. */
export async function isSnapshot(source: Fetcher, descriptor: Descriptor, call: Call = {}): Promise<boolean> {
  if (descriptor.mediaType !== OCI_MANIFEST) return false
  return artifactTypeOf(await fetchAll(source, descriptor, DOCUMENT_BYTES, call)) === SNAPSHOT_TYPE
}

/**
 * Reads the snapshot behind the descriptor of an OCI manifest (spec/snapshot.md). Throws OVM_SNAPSHOT_INVALID,
 * OVM_ARTIFACT_INVALID, OVM_BASE_MISMATCH or OVM_TOO_LARGE with all faults as `detail`, and what `source` throws for
 * content that is missing or not what its digest says.
 */
export async function readSnapshot(
  source: Fetcher,
  descriptor: Descriptor,
  call: Call = {},
): Promise<Snapshot> {
  const { digest, mediaType } = descriptor
  if (mediaType !== OCI_MANIFEST)
    throw new OvmError("OVM_SNAPSHOT_INVALID", `${digest} is not an OCI image manifest [OVMS-SNP-001]`, {
      detail: { digest, media_type: mediaType, requirement: "OVMS-SNP-001" },
    })
  const bytes = await fetchAll(source, descriptor, DOCUMENT_BYTES, call)
  const { oci, manifestDescriptor, faults } = validateOciManifest(bytes, "snapshot")
  if (!oci || !manifestDescriptor) throw faultsError(`the OCI manifest ${digest}`, faults)
  const snapshot = await readDescriptor(source, manifestDescriptor, call)
  const mapped = mapSnapshot(oci, snapshot)
  if (!mapped.parts || !oci.subject) throw faultsError(`the snapshot ${digest}`, mapped.faults)
  return { descriptor, base: oci.subject, snapshot, oci, ...mapped.parts }
}

/**
 * Reads what makes the RAM beside a machine a snapshot; undefined if the machine has none that can be resumed
 * (OVMS-SNP-080, OVMS-SNP-081). Throws OVM_SNAPSHOT_INVALID with all faults, and what `source` throws.
 */
export async function readInlineSnapshot(
  source: Fetcher,
  artifact: Artifact,
  call: Call = {},
): Promise<Snapshot | undefined> {
  const { oci, snapshotDescriptor, manifest } = artifact
  if (!snapshotDescriptor || !manifest.ramSnapshot) return undefined
  const snapshot = await readDescriptor(source, snapshotDescriptor, call)
  const { parts, faults } = mapSnapshotBlobs(oci, snapshot)
  const all = [...faults, ...inlineFaults(snapshot, manifest.ramSnapshot)]
  if (all.length > 0 || !parts) throw faultsError(`the snapshot in ${artifact.descriptor.digest}`, all)
  return { descriptor: artifact.descriptor, base: artifact.descriptor, snapshot, oci, ...parts }
}

async function readDescriptor(source: Fetcher, target: Descriptor, call: Call): Promise<SnapshotDescriptor> {
  const bytes = await fetchAll(source, target, DOCUMENT_BYTES, call)
  return parseSnapshot(bytes, `the snapshot descriptor ${target.digest}`)
}

function inlineFaults(
  { base, parent, ram }: SnapshotDescriptor,
  expected: NonNullable<Artifact["manifest"]["ramSnapshot"]>,
) {
  const fault = (pointer: string, message: string) => snapshotFault(pointer, "OVMS-SNP-081", message)
  return [
    ...(base ? [fault("/base", "base is there, but the machine beside it is the base")] : []),
    ...(parent ? [fault("/parent", "parent is there, but the machine beside it is the base")] : []),
    ...(ram.ref === expected.ref
      ? []
      : [fault("/ram/ref", `ref is not ramSnapshot.ref of the OVMS manifest, ${expected.ref}`)]),
    ...(ram.compression === expected.compression
      ? []
      : [fault("/ram/compression", `compression is not that of ramSnapshot, ${expected.compression}`)]),
  ]
}
