import { MANIFEST_TYPE } from "../../artifact/machine/manifest.ts"
import { isIndex } from "../../artifact/platforms/read.ts"
import { canonicalType, INDEX_TYPE, SNAPSHOT_TYPE } from "../../artifact/types.ts"
import type { Descriptor } from "../../content/descriptor.ts"
import type { Call, Fetcher } from "../../content/interfaces.ts"
import { isManifest, parseLinks } from "../../content/manifest.ts"
import { fetchAll, MANIFEST_LIMIT } from "../../content/read.ts"
import { isAnnotations } from "../../content/referrers.ts"
import { OvmError } from "../../errors.ts"
import { isObject } from "../../objects.ts"
import { type ArtifactNode, isSbomType } from "./graph.ts"

export interface Manifest {
  /** With type and annotations as the manifest itself has them. */
  readonly descriptor: Descriptor
  readonly subject?: Descriptor
}

/** Reads a manifest. Throws OVM_ARTIFACT_INVALID, and what the source throws. */
export async function readManifest(source: Fetcher, target: Descriptor, call: Call): Promise<Manifest> {
  const { mediaType, digest, size } = target
  if (!isManifest(target))
    throw new OvmError("OVM_ARTIFACT_INVALID", `${digest} is a ${mediaType}, no manifest`)
  const bytes = await fetchAll(source, target, MANIFEST_LIMIT, call)
  parseLinks(bytes, `${mediaType} ${digest}`)
  const { artifactType, config, subject, annotations } = JSON.parse(
    new TextDecoder().decode(bytes),
  ) as Record<string, unknown>
  // Cosign's config has the type where a registry or tool dropped it.
  const types = isObject(config) ? [artifactType, config.artifactType, config.mediaType] : [artifactType]
  const type = types.find((one) => typeof one === "string" && one !== "")
  return {
    descriptor: {
      mediaType,
      digest,
      size,
      ...(typeof type === "string" && { artifactType: type }),
      ...(isAnnotations(annotations) && { annotations }),
    },
    ...(subject !== undefined && { subject: subject as Descriptor }),
  }
}

/** What it is by its type, in the words of a graph. */
export function artifactKindOf(descriptor: Descriptor): ArtifactNode["kind"] {
  const type = canonicalType(descriptor.artifactType ?? "")
  if (isIndex(descriptor) && (type === INDEX_TYPE || type === "")) return "index"
  if (type === MANIFEST_TYPE) return "machine"
  if (type === SNAPSHOT_TYPE) return "snapshot"
  return isSbomType(descriptor) ? "sbom" : "other"
}
