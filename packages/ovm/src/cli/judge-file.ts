import { DOCUMENT_BYTES, readJson } from "../artifact/json.ts"
import { validateSource } from "../artifact/machine/source.ts"
import { validateManifest } from "../artifact/machine/validate.ts"
import { validateOciManifest } from "../artifact/oci.ts"
import { isManifest } from "../content/manifest.ts"
import { isObject } from "../objects.ts"
import { readArgument } from "./argument-file.ts"
import type { Verdict } from "./verdict.ts"

/** Judges one document by itself, as what it looks most like. Throws OVM_FILE_UNREADABLE, OVM_TOO_LARGE. */
export async function judgeFile(path: string): Promise<Verdict> {
  const bytes = await readArgument(path, DOCUMENT_BYTES)
  const kind = kindOf(bytes)
  const judge = {
    manifest: validateManifest,
    "oci-manifest": validateOciManifest,
    "pack-source": validateSource,
  }[kind]
  return { kind, faults: judge(bytes).faults }
}

/** A broken document may lack its type, so its other fields tell as well: only sources have paths. */
function kindOf(bytes: Uint8Array): "manifest" | "oci-manifest" | "pack-source" {
  const read = readJson(bytes)
  if ("fault" in read || !isObject(read.value)) return "manifest"
  const document = read.value
  if (typeof document.mediaType === "string" && isManifest({ mediaType: document.mediaType }))
    return "oci-manifest"
  if ("config" in document && "layers" in document) return "oci-manifest"
  if ("mediaType" in document) return "manifest"
  const parts = [document.kernel, document.initrd, document.diskLayers].flat()
  return parts.some((part) => isObject(part) && "path" in part) ? "pack-source" : "manifest"
}
