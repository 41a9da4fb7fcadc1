import type { Descriptor } from "../../content/descriptor.ts"
import type { Call, Fetcher } from "../../content/interfaces.ts"
import { OCI_MANIFEST } from "../../content/manifest.ts"
import { fetchAll } from "../../content/read.ts"
import { OvmError } from "../../errors.ts"
import { excerpt, faultsError } from "../faults.ts"
import { DOCUMENT_BYTES } from "../json.ts"
import { type OciManifest, validateOciManifest } from "../oci.ts"
import type { OvmsManifest } from "./manifest.ts"
import { mapParts, type Parts } from "./mapping.ts"
import { parseManifest } from "./validate.ts"

/** An artifact whose two manifests are read, verified and judged; its blobs are only named. */
export interface Artifact extends Parts {
  /** Of the OCI manifest. */
  readonly descriptor: Descriptor
  readonly oci: OciManifest
  readonly manifest: OvmsManifest
  /** Of the OVMS manifest, a config or a layer of `oci`. */
  readonly manifestDescriptor: Descriptor
}

/**
 * Reads the artifact behind the descriptor of an OCI manifest, in either form (spec/oci-mapping.md). Throws
 * OVM_ARTIFACT_INVALID (also for an index), OVM_MANIFEST_INVALID, OVM_TOO_LARGE or OVM_UNSUPPORTED with all faults as
 * `detail`, and what `source` throws for content that is missing or not what its digest says.
 */
export async function readArtifact(
  source: Fetcher,
  descriptor: Descriptor,
  call: Call = {},
): Promise<Artifact> {
  const { digest, mediaType } = descriptor
  if (mediaType !== OCI_MANIFEST)
    throw new OvmError(
      "OVM_ARTIFACT_INVALID",
      `${digest} is ${notManifest(mediaType)}, not an OCI image manifest [OVMS-OCI-002]`,
      {
        detail: { digest, media_type: mediaType, requirement: "OVMS-OCI-002" },
        hint: "Name one manifest of it: REPOSITORY@sha256:…",
      },
    )
  const ociBytes = await fetchAll(source, descriptor, DOCUMENT_BYTES, call)
  const { oci, manifestDescriptor, faults } = validateOciManifest(ociBytes)
  if (!oci || !manifestDescriptor) throw faultsError(`the OCI manifest ${digest}`, faults)
  const bytes = await fetchAll(source, manifestDescriptor, DOCUMENT_BYTES, call)
  const manifest = parseManifest(bytes, `the OVMS manifest ${manifestDescriptor.digest}`)
  const mapped = mapParts(oci, manifest)
  if (mapped.faults.length > 0) throw faultsError(`the artifact ${digest}`, mapped.faults)
  return { descriptor, oci, manifest, manifestDescriptor, ...mapped.parts }
}

function notManifest(mediaType: string): string {
  return /index|manifest\.list/.test(mediaType) ? "an index" : `a ${excerpt(mediaType)}`
}
