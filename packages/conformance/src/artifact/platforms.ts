import { digestOf } from "../registry/content.ts"
import { writeLayout } from "./layout.ts"
import { type Artifact, OCI_INDEX, OCI_MANIFEST, OVMS_MANIFEST } from "./make.ts"

/** Machines of an index, each by its architecture. */
export type Machines = readonly (readonly [architecture: string, machine: Artifact])[]

/** An index of machines, each with its architecture, in this order. */
export function indexOf(machines: Machines): Buffer {
  return indexWith(entriesOf(machines))
}

/** The entries of an index for these machines. */
export function entriesOf(machines: Machines) {
  return machines.map(([architecture, { digest, oci }]) => ({
    mediaType: OCI_MANIFEST,
    artifactType: OVMS_MANIFEST,
    digest,
    size: oci.length,
    platform: { os: "linux", architecture },
  }))
}

export function indexWith(manifests: readonly object[]): Buffer {
  const artifactType = "application/vnd.ovms.index.v1+json"
  return Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: OCI_INDEX, artifactType, manifests }))
}

/** Writes a layout whose one name stands for an index of these machines; its path. */
export async function writeIndex(folder: string, machines: Machines): Promise<string> {
  for (const [, machine] of machines) await writeLayout(folder, machine)
  const bytes = indexOf(machines)
  const index = { oci: bytes, digest: digestOf(bytes), blobs: [] }
  return await writeLayout(folder, index, undefined, OCI_INDEX)
}
