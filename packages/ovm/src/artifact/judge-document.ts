import { isManifest, OCI_INDEX } from "../content/manifest.ts"
import { isObject } from "../objects.ts"
import type { Fault } from "./faults.ts"
import { readJson } from "./json.ts"
import { validateSource } from "./machine/source.ts"
import { validateManifest } from "./machine/validate.ts"
import { validateOciManifest } from "./oci.ts"
import { validateIndex } from "./platforms/index-document.ts"

type Kind = "manifest" | "oci-manifest" | "oci-index" | "pack-source"

/** Judges a document by itself, as what it looks most like: what it was taken for, and all that is wrong with it. */
export function judgeDocument(bytes: Uint8Array): {
  readonly kind: Kind
  readonly faults: readonly Fault[]
} {
  const kind = kindOf(bytes)
  const judge = {
    manifest: validateManifest,
    "oci-manifest": validateOciManifest,
    "oci-index": validateIndex,
    "pack-source": validateSource,
  }[kind]
  return { kind, faults: judge(bytes).faults }
}

/** A broken document may lack its type, so its other fields tell as well: only sources have paths. */
function kindOf(bytes: Uint8Array): Kind {
  const read = readJson(bytes)
  if ("fault" in read || !isObject(read.value)) return "manifest"
  const document = read.value
  if (document.mediaType === OCI_INDEX || (document.mediaType === undefined && "manifests" in document))
    return "oci-index"
  if (typeof document.mediaType === "string" && isManifest({ mediaType: document.mediaType }))
    return "oci-manifest"
  if ("config" in document && "layers" in document) return "oci-manifest"
  if ("mediaType" in document) return "manifest"
  const { kernel, initrd, diskLayers, disks, firmware } = document
  const variables = isObject(firmware) ? firmware.variables : undefined
  const parts = [kernel, initrd, diskLayers, furtherLayers(disks), variables].flat()
  return parts.some((part) => isObject(part) && "path" in part) ? "pack-source" : "manifest"
}

function furtherLayers(disks: unknown): readonly unknown[] {
  return Array.isArray(disks) ? disks.flatMap((disk) => (isObject(disk) ? disk.layers : [])) : []
}
