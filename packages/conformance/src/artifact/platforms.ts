import { type Artifact, OCI_MANIFEST, OVMS_MANIFEST } from "./make.ts"

export const OCI_INDEX = "application/vnd.oci.image.index.v1+json"

/** An index of machines, each with its architecture, in this order. */
export function indexOf(machines: readonly (readonly [architecture: string, machine: Artifact])[]): Buffer {
  const manifests = machines.map(([architecture, { digest, oci }]) => ({
    mediaType: OCI_MANIFEST,
    artifactType: OVMS_MANIFEST,
    digest,
    size: oci.length,
    platform: { os: "linux", architecture },
  }))
  const artifactType = "application/vnd.ovms.index.v1+json"
  return Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: OCI_INDEX, artifactType, manifests }))
}
