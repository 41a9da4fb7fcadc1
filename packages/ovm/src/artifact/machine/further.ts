import type { Descriptor } from "../../content/descriptor.ts"
import type { Digest } from "../../content/digest.ts"
import type { Call, Pusher } from "../../content/interfaces.ts"
import { OCI_MANIFEST } from "../../content/manifest.ts"
import { bytesOf } from "../../content/read.ts"
import { documentOf } from "../canonical.ts"
import type { OciManifest } from "../oci.ts"
import { TITLE_ANNOTATION } from "../types.ts"
import {
  DISK_TYPE,
  FORMAT_ANNOTATION,
  type FurtherDisk,
  type LayerRef,
  MANIFEST_TYPE,
  type OvmsManifest,
  VARIABLES_TYPE,
} from "./manifest.ts"
import type { Artifact } from "./read.ts"
import { parseManifest } from "./validate.ts"

/** What registries and tools know as the image that another one was made from. */
const BASE_ANNOTATION = "org.opencontainers.image.base.digest"
const CREATED_ANNOTATION = "org.opencontainers.image.created"

/** What a machine has more than the one that it is made from; layers are qcow2. */
export interface Additions {
  /** To the first disk, the lowest first. */
  readonly added: readonly Descriptor[]
  /** To further disks by name, the lowest first: the first ones of a disk that was empty. */
  readonly disks?: ReadonlyMap<string, readonly Descriptor[]>
  /** What its UEFI firmware starts with; that of the other one unless given. */
  readonly variables?: Descriptor
  /** RFC 3339. */
  readonly created: string
  /** What it says that it was made from: that machine unless given, null for nothing. */
  readonly base?: Digest | null
}

/**
 * Stores the machine `base` with further layers and gives the OCI manifest's descriptor. All else is the base's, but
 * for RAM beside it, which would not fit any more; its blobs and the layers' have to be in `store`. Throws
 * OVM_MANIFEST_INVALID for one layer too many, and what `store` throws.
 */
export async function writeFurther(
  store: Pusher,
  base: Artifact,
  {
    added,
    disks: further = new Map(),
    variables: kept,
    created,
    base: from = base.descriptor.digest,
  }: Additions,
  call: Call = {},
): Promise<{ readonly descriptor: Descriptor }> {
  const { kernel, initrd, layers, disks } = base
  const { [BASE_ANNOTATION]: _was, ...annotations } = base.oci.annotations ?? {}
  const { ramSnapshot: _, ...manifest } = base.manifest
  const made = added.map((layer, at) => titled(layer, `disk${layers.length + at}.qcow2`))
  const chains = disks.map(({ name, layers = [] }) => {
    const below = layers.map(({ descriptor }) => descriptor)
    const more = (further.get(name) ?? []).map((layer, at) =>
      titled(layer, `disk-${name}-${below.length + at}.qcow2`),
    )
    return [...below, ...more]
  })
  const variables = kept ? titledVariables(kept) : base.variables
  const diskLayers = [...(manifest.diskLayers ?? []), ...made.map(refOf)]
  const described: OvmsManifest = {
    ...manifest,
    ...(diskLayers.length > 0 && { diskLayers }),
    ...(manifest.disks && { disks: manifest.disks.map((disk) => withLayers(disk, further.get(disk.name))) }),
    ...(kept && { firmware: { variables: { ref: kept.digest, size: kept.size } } }),
    metadata: { ...manifest.metadata, created },
  }
  const config = documentOf(MANIFEST_TYPE, described)
  parseManifest(config.bytes)
  const below = layers.map(({ descriptor }) => descriptor)
  const oci: OciManifest & { readonly mediaType: string } = {
    schemaVersion: 2,
    mediaType: OCI_MANIFEST,
    artifactType: MANIFEST_TYPE,
    config: { ...config.descriptor, annotations: { [TITLE_ANNOTATION]: "manifest.json" } },
    layers: [kernel, initrd, ...below, ...made, ...chains.flat(), variables].filter(
      (one) => one !== undefined,
    ),
    annotations: {
      ...annotations,
      [CREATED_ANNOTATION]: created,
      ...(from !== null && { [BASE_ANNOTATION]: from }),
    },
  }
  const written = documentOf(OCI_MANIFEST, oci)
  await store.push(config.descriptor, bytesOf(config.bytes), call)
  await store.push(written.descriptor, bytesOf(written.bytes), call)
  return { descriptor: { ...written.descriptor, artifactType: MANIFEST_TYPE } }
}

/** Titles tell the part (OVMS-OCI-053). */
function titled({ digest, size }: Descriptor, title: string): Descriptor {
  const annotations = { [TITLE_ANNOTATION]: title, [FORMAT_ANNOTATION]: "qcow2" }
  return { mediaType: DISK_TYPE, digest, size, annotations }
}

function titledVariables({ digest, size }: Descriptor): Descriptor {
  return { mediaType: VARIABLES_TYPE, digest, size, annotations: { [TITLE_ANNOTATION]: "variables.fd" } }
}

function refOf({ digest, size }: Descriptor): LayerRef {
  return { ref: digest, format: "qcow2", size }
}

/** One that was empty has these layers alone, which say its size. */
function withLayers(disk: FurtherDisk, added: readonly Descriptor[] = []): FurtherDisk {
  if (added.length === 0) return disk
  const { size: _, layers = [], ...others } = disk
  return { ...others, layers: [...layers, ...added.map(refOf)] }
}
