import type { Descriptor } from "../registry/content.ts"
import { digestOf } from "../registry/content.ts"
import type { ForeignLayout } from "./layout.ts"
import { archiveOf, type TarEntry } from "./tar.ts"

const OCI = "application/vnd.oci.image."

export interface ContainerChanges {
  /** `config` of the config. */
  readonly config?: object
  /** Other members of the config. */
  readonly more?: object
  readonly layerType?: string
  /** Of a layer before it is packed, so that its digest is that of what this gives. */
  readonly whole?: (tar: Buffer) => Buffer
  /** Of a layer as it lies there. */
  readonly packed?: (tar: Buffer) => Uint8Array
}

/** A container image for amd64 of these layers, in a layout; the descriptor of its manifest. */
export function containerIn(
  layout: ForeignLayout,
  layers: readonly (readonly TarEntry[])[],
  changes: ContainerChanges = {},
): Descriptor {
  const { whole = (tar) => tar, packed = (tar) => tar, layerType = `${OCI}layer.v1.tar` } = changes
  const tars = layers.map((entries) => whole(archiveOf(entries)))
  const config = {
    os: "linux",
    architecture: "amd64",
    rootfs: { type: "layers", diff_ids: tars.map(digestOf) },
    config: changes.config ?? {},
    ...changes.more,
  }
  return layout.manifest({
    config: layout.blob(`${OCI}config.v1+json`, config),
    layers: tars.map((tar) => layout.blob(layerType, packed(tar))),
  })
}

/** The same as `docker save` wrote it once. */
export function dockerArchiveOf(layers: readonly (readonly TarEntry[])[], config: object): Buffer {
  const tars = layers.map(archiveOf)
  const rootfs = { type: "layers", diff_ids: tars.map(digestOf) }
  const names = layers.map((_, at) => `layer-${at}/layer.tar`)
  const manifest = [{ Config: "config.json", RepoTags: ["suite:1"], Layers: names }]
  const document = { os: "linux", architecture: "amd64", rootfs, config }
  return archiveOf([
    ...tars.map((content, at) => ({ name: names[at] ?? "", content })),
    { name: "config.json", content: JSON.stringify(document) },
    { name: "manifest.json", content: JSON.stringify(manifest) },
  ])
}
