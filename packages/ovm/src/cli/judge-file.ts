import { readFile, stat } from "node:fs/promises"
import { DOCUMENT_BYTES, readJson } from "../artifact/json.ts"
import { validateOciManifest } from "../artifact/oci.ts"
import { validateSource } from "../artifact/source.ts"
import { validateManifest } from "../artifact/validate.ts"
import { isManifest, isObject } from "../content/manifest.ts"
import { OvmError, toOvmError } from "../errors.ts"
import type { Verdict } from "./verdict.ts"

/** Judges one document by itself, as what it looks most like. Throws OVM_FILE_UNREADABLE, OVM_TOO_LARGE. */
export async function judgeFile(path: string): Promise<Verdict> {
  const bytes = await readBounded(path)
  const kind = kindOf(bytes)
  const judge = {
    manifest: validateManifest,
    "oci-manifest": validateOciManifest,
    "pack-source": validateSource,
  }[kind]
  return { kind, faults: judge(bytes).faults }
}

async function readBounded(path: string): Promise<Uint8Array> {
  try {
    if ((await stat(path)).size > DOCUMENT_BYTES)
      throw new OvmError("OVM_TOO_LARGE", `${path} is above the limit of ${DOCUMENT_BYTES} bytes`)
    return await readFile(path)
  } catch (thrown) {
    throw toOvmError(thrown)
  }
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
