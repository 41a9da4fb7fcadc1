import type { Descriptor } from "../../content/descriptor.ts"
import type { Digest } from "../../content/digest.ts"
import type { Bytes, Call, Fetcher } from "../../content/interfaces.ts"
import { parseLinks } from "../../content/manifest.ts"
import { fetchAll } from "../../content/read.ts"
import { OvmError } from "../../errors.ts"
import { type ContainerConfig, readConfig } from "./config.ts"
import { CONTAINER_LIMITS, fault } from "./limits.ts"

/** A container image, of which nothing but its config was read. */
export interface ContainerImage {
  /** In messages. */
  readonly what: string
  /** Of its manifest or, where it has none, of its config; of what is in no image there is none. */
  readonly digest?: Digest
  readonly config: ContainerConfig
  /** Base first. Each is what it is in the image, compressed or not. */
  readonly layers: readonly { readonly digest: Digest; open(call: Call): Promise<Bytes> }[]
}

const CONFIGS = ["application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"]
const LAYER =
  /^application\/vnd\.(?:oci\.image\.layer\.(?:nondistributable\.)?v1\.tar(?:\+gzip|\+zstd)?|docker\.image\.rootfs\.(?:foreign\.)?diff\.tar(?:\.gzip|\.zstd)?)$/
/** What machines are for, so far. */
export const PLATFORM = { os: "linux", architecture: "amd64" }

/** Whether a config is that of an image for the machines here. */
export function isForMachines({ os, architecture }: Pick<ContainerConfig, "os" | "architecture">): boolean {
  return os === PLATFORM.os && architecture === PLATFORM.architecture
}

/** Whether a manifest with these links is that of a container image. */
export function isContainerImage(types: readonly string[]): boolean {
  return types.some((type) => CONFIGS.includes(type))
}

/**
 * The container image of a manifest. `what` is its name in messages. Throws OVM_ARTIFACT_INVALID for what is none,
 * OVM_UNSUPPORTED for one that cannot be a machine, and what `source` throws.
 */
export async function readContainer(
  source: Fetcher,
  manifest: Descriptor,
  what: string,
  call: Call = {},
): Promise<ContainerImage> {
  const links = parseLinks(await fetchAll(source, manifest, undefined, call), what)
  const [configAt, ...layers] = links.children
  if (!configAt || !isContainerImage(links.types)) throw fault(what, "it is no container image")
  const config = readConfig(await fetchAll(source, configAt, CONTAINER_LIMITS.configBytes, call), what)
  for (const { mediaType } of layers)
    if (!LAYER.test(mediaType))
      throw new OvmError(
        "OVM_UNSUPPORTED",
        `${what}: it has a layer of the type ${JSON.stringify(mediaType)}`,
      )
  return checkImage({
    what,
    digest: manifest.digest,
    config,
    layers: layers.map((layer) => ({ digest: layer.digest, open: (call) => source.fetch(layer, call) })),
  })
}

/** Throws as readContainer does for an image that is not one for a machine, or whose parts do not belong together. */
export function checkImage(image: ContainerImage): ContainerImage {
  const { what, config, layers } = image
  const { os, architecture, diffIds } = config
  if (!isForMachines(config))
    throw new OvmError("OVM_UNSUPPORTED", `${what}: it is for ${os}/${architecture}, not for linux/amd64`)
  if (layers.length !== diffIds.length)
    throw fault(what, `it has ${layers.length} layers, and its config the digests of ${diffIds.length}`)
  if (layers.length > CONTAINER_LIMITS.layers)
    throw new OvmError("OVM_TOO_LARGE", `${what}: it has more than ${CONTAINER_LIMITS.layers} layers`)
  return image
}
