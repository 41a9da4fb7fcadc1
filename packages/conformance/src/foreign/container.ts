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

/** Of an archive of Docker's, what is not usual. */
export interface ArchiveChanges {
  /** In place of the file of the second layer: a link to this. */
  readonly link?: string
  /** Other entries. */
  readonly more?: readonly TarEntry[]
  /** How often its manifest names the image. */
  readonly times?: number
}

/** The same as `docker save` wrote it once. */
export function dockerArchiveOf(
  layers: readonly (readonly TarEntry[])[],
  config: object,
  { link, more = [], times = 1 }: ArchiveChanges = {},
): Buffer {
  const tars = layers.map(archiveOf)
  const rootfs = { type: "layers", diff_ids: tars.map(digestOf) }
  const names = layers.map((_, at) => `layer-${at}/layer.tar`)
  const image = { Config: "config.json", RepoTags: ["suite:1"], Layers: names }
  const manifest = Array.from({ length: times }, (_, at) => ({ ...image, RepoTags: [`suite:${at + 1}`] }))
  const document = { os: "linux", architecture: "amd64", rootfs, config }
  return archiveOf([
    ...tars.map((content, at): TarEntry => {
      const name = names[at] ?? ""
      return link !== undefined && at === 1 ? { name, type: "2", link } : { name, content }
    }),
    ...more,
    { name: "config.json", content: JSON.stringify(document) },
    { name: "manifest.json", content: JSON.stringify(manifest) },
  ])
}
