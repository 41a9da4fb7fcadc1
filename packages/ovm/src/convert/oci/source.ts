import type { Descriptor } from "../../content/descriptor.ts"
import type { Call, Fetcher } from "../../content/interfaces.ts"
import { OvmError } from "../../errors.ts"
import { diskLayerOf } from "./container-disk.ts"
import { type OciDocument, readOciDocument } from "./documents.ts"

/** What an artifact of a registry is. */
export type OciSource =
  /** A container image, whose files are to be a root file system. */
  | { readonly kind: "container"; readonly manifest: Descriptor }
  /** One disk, in a layer: as it is or compressed, or alone in a tar. */
  | { readonly kind: "disk"; readonly layer: Descriptor }
  /** A machine of OVMS. */
  | { readonly kind: "machine" }
  /** A machine of KubeVirt's, by its manifest. */
  | { readonly kind: "kubevirt"; readonly manifest: OciDocument; readonly index?: OciDocument }

export const KUBEVIRT = /^application\/vnd\.kubevirt\.virtualmachine(?:template)?\.v1$/
const OURS = /^application\/vnd\.(?:[a-z0-9-]+\.)?ovms\./
const CONTAINER_CONFIGS = [
  "application/vnd.oci.image.config.v1+json",
  "application/vnd.docker.container.image.v1+json",
]
/** What machines are for, so far. */
const PLATFORM = { os: "linux", architecture: "amd64" }
/** Of Podman's, which has a disk for each hypervisor. */
const DISK_TYPE = "disktype"

/**
 * The one place that says what the artifact `target` is, by its types and, of a container image, by its layers
 * (spec/import.md). `what` is its name in messages. Throws OVM_ARTIFACT_INVALID for what cannot be understood,
 * OVM_UNSUPPORTED for what is for no machine here, and what `source` throws.
 */
export async function ociSource(
  source: Fetcher,
  target: Descriptor,
  what: string,
  call: Call = {},
): Promise<OciSource> {
  const top = await readOciDocument(source, target, what, call)
  const manifest = top.index ? await readOciDocument(source, chosen(top, what), what, call) : top
  if (manifest.index) throw new OvmError("OVM_UNSUPPORTED", `${what}: its index has another index`)
  const types = [manifest.artifactType, manifest.config?.mediaType]
  if (types.some((type) => type !== undefined && OURS.test(type))) return { kind: "machine" }
  if (types.some((type) => type !== undefined && KUBEVIRT.test(type)))
    return { kind: "kubevirt", manifest, ...(top.index && { index: top }) }
  if (types.some((type) => type !== undefined && CONTAINER_CONFIGS.includes(type))) {
    const layer = await diskLayerOf(source, manifest, what, call)
    return layer ? { kind: "disk", layer } : { kind: "container", manifest: manifest.target }
  }
  const [layer, ...others] = manifest.parts
  if (layer && others.length === 0) return { kind: "disk", layer }
  const type = manifest.artifactType ?? manifest.config?.mediaType ?? "no type"
  throw new OvmError(
    "OVM_ARTIFACT_INVALID",
    `${what} is of ${type}, with ${manifest.parts.length} layers, and not one that is a disk`,
  )
}

function chosen({ parts }: OciDocument, what: string): Descriptor {
  const fitting = parts.filter(
    ({ platform }) =>
      !platform || (platform.os === PLATFORM.os && ARCHITECTURES.includes(platform.architecture)),
  )
  const kinds = fitting.filter(({ annotations }) => annotations?.[DISK_TYPE] !== undefined)
  const found =
    kinds.length > 0 ? kinds.find(({ annotations }) => annotations?.[DISK_TYPE] === "qemu") : fitting[0]
  if (found) return found
  throw new OvmError("OVM_UNSUPPORTED", `${what}: its index has nothing for linux/amd64 and QEMU`)
}

/** Podman says it as the kernel does. */
const ARCHITECTURES = [PLATFORM.architecture, "x86_64"]
