import type { Descriptor } from "../../content/descriptor.ts"
import type { Call, Fetcher } from "../../content/interfaces.ts"
import { isManifest } from "../../content/manifest.ts"
import { fetchAll } from "../../content/read.ts"
import { OvmError } from "../../errors.ts"
import { readConfig } from "../container/config.ts"
import { isContainerImage, isForMachines, PLATFORM } from "../container/image.ts"
import { CONTAINER_LIMITS } from "../container/limits.ts"
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
/** Of an index: entries that do not say what they are for, of each of which its config has to be read. */
const MOST_UNSAID = 32
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
  const manifest = top.index ? await chosen(source, top, what, call) : top
  const types = typesOf(manifest)
  if (types.some((type) => OURS.test(type))) return { kind: "machine" }
  if (types.some((type) => KUBEVIRT.test(type)))
    return { kind: "kubevirt", manifest, ...(top.index && { index: top }) }
  if (isContainerImage(types)) {
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

function typesOf({ artifactType, config }: OciDocument): readonly string[] {
  return [artifactType, config?.mediaType].filter((type) => type !== undefined)
}

/** Of an index the manifest that is for the machines here: by its entry, and where that says nothing, by its config. */
async function chosen(
  source: Fetcher,
  { parts }: OciDocument,
  what: string,
  call: Call,
): Promise<OciDocument> {
  const fitting = parts.filter(
    ({ platform }) =>
      platform && platform.os === PLATFORM.os && ARCHITECTURES.includes(platform.architecture),
  )
  const kinds = fitting.filter(({ annotations }) => annotations?.[DISK_TYPE] !== undefined)
  const said =
    kinds.length > 0 ? kinds.find(({ annotations }) => annotations?.[DISK_TYPE] === "qemu") : fitting[0]
  const unsaid = said || kinds.length > 0 ? [] : parts.filter((entry) => !entry.platform && isManifest(entry))
  for (const entry of said ? [said] : unsaid.slice(0, MOST_UNSAID)) {
    const manifest = await readOciDocument(source, entry, what, call)
    if (manifest.index) throw new OvmError("OVM_UNSUPPORTED", `${what}: its index has another index`)
    if (said || (await isForHere(source, manifest, what, call))) return manifest
  }
  throw new OvmError("OVM_UNSUPPORTED", `${what}: its index has nothing for linux/amd64 and QEMU`)
}

/** What is no container image does not say it. */
async function isForHere(source: Fetcher, manifest: OciDocument, what: string, call: Call): Promise<boolean> {
  const { config } = manifest
  if (!config || !isContainerImage(typesOf(manifest))) return true
  return isForMachines(readConfig(await fetchAll(source, config, CONTAINER_LIMITS.configBytes, call), what))
}

/** Podman says it as the kernel does. */
const ARCHITECTURES = [PLATFORM.architecture, "x86_64"]
