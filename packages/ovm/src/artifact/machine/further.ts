import type { Descriptor } from "../../content/descriptor.ts"
import type { Call, Pusher } from "../../content/interfaces.ts"
import { OCI_MANIFEST } from "../../content/manifest.ts"
import { bytesOf } from "../../content/read.ts"
import { documentOf } from "../canonical.ts"
import type { OciManifest } from "../oci.ts"
import { TITLE_ANNOTATION } from "../types.ts"
import { DISK_TYPE, FORMAT_ANNOTATION, MANIFEST_TYPE, type OvmsManifest } from "./manifest.ts"
import type { Artifact } from "./read.ts"
import { parseManifest } from "./validate.ts"

/** What registries and tools know as the image that another one was made from. */
const BASE_ANNOTATION = "org.opencontainers.image.base.digest"
const CREATED_ANNOTATION = "org.opencontainers.image.created"

/**
 * Stores the machine `base` with further layers of its first disk, `added`, qcow2 and the lowest first, and gives the
 * OCI manifest's descriptor and the layers'. All else is the base's, but for RAM beside it, which would not fit any
 * more; its blobs and the layers' have to be in `store`. `created` is RFC 3339. Throws OVM_MANIFEST_INVALID for one
 * layer too many, and what `store` throws.
 */
export async function writeFurther(
  store: Pusher,
  base: Artifact,
  { added, created }: { readonly added: readonly Descriptor[]; readonly created: string },
  call: Call = {},
): Promise<{ readonly descriptor: Descriptor; readonly layers: readonly Descriptor[] }> {
  const { kernel, initrd, layers, disks } = base
  const { ramSnapshot: _, ...manifest } = base.manifest
  const made = added.map(({ digest, size }, at) => ({
    mediaType: DISK_TYPE,
    digest,
    size,
    annotations: { [TITLE_ANNOTATION]: `disk${layers.length + at}.qcow2`, [FORMAT_ANNOTATION]: "qcow2" },
  }))
  const further = made.map(({ digest, size }) => ({ ref: digest, format: "qcow2" as const, size }))
  const described: OvmsManifest = {
    ...manifest,
    diskLayers: [...(manifest.diskLayers ?? []), ...further],
    metadata: { ...manifest.metadata, created },
  }
  const config = documentOf(MANIFEST_TYPE, described)
  parseManifest(config.bytes)
  const below = layers.map(({ descriptor }) => descriptor)
  const beside = disks.flatMap(({ layers = [] }) => layers.map(({ descriptor }) => descriptor))
  const oci: OciManifest & { readonly mediaType: string } = {
    schemaVersion: 2,
    mediaType: OCI_MANIFEST,
    artifactType: MANIFEST_TYPE,
    config: { ...config.descriptor, annotations: { [TITLE_ANNOTATION]: "manifest.json" } },
    layers: [...[kernel, initrd].filter((one) => one !== undefined), ...below, ...made, ...beside],
    annotations: {
      ...base.oci.annotations,
      [CREATED_ANNOTATION]: created,
      [BASE_ANNOTATION]: base.descriptor.digest,
    },
  }
  const written = documentOf(OCI_MANIFEST, oci)
  await store.push(config.descriptor, bytesOf(config.bytes), call)
  await store.push(written.descriptor, bytesOf(written.bytes), call)
  return { descriptor: { ...written.descriptor, artifactType: MANIFEST_TYPE }, layers: made }
}
