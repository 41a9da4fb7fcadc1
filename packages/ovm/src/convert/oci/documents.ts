import type { Descriptor } from "../../content/descriptor.ts"
import type { Call, Fetcher } from "../../content/interfaces.ts"
import { OCI_INDEX, parseLinks } from "../../content/manifest.ts"
import { fetchAll } from "../../content/read.ts"
import { OvmError } from "../../errors.ts"
import { isObject } from "../../objects.ts"

/** A manifest or index, as far as it says what it is. */
export interface OciDocument {
  readonly target: Descriptor
  readonly index: boolean
  readonly artifactType: string | undefined
  readonly config: Descriptor | undefined
  /** Layers of a manifest, manifests of an index. */
  readonly parts: readonly Descriptor[]
  readonly annotations: Readonly<Record<string, string>>
}

/** Throws OVM_ARTIFACT_INVALID, naming `what`, for what is no manifest, OVM_TOO_LARGE, and what `source` throws. */
export async function readOciDocument(
  source: Fetcher,
  target: Descriptor,
  what: string,
  call: Call = {},
): Promise<OciDocument> {
  const bytes = await fetchAll(source, target, undefined, call)
  const { mediaType, children } = parseLinks(bytes, what)
  const document = JSON.parse(new TextDecoder().decode(bytes)) as Record<string, unknown>
  const withConfig = document.config !== undefined
  return {
    target,
    index: mediaType === OCI_INDEX || "manifests" in document,
    artifactType: typeof document.artifactType === "string" ? document.artifactType : undefined,
    config: withConfig ? children[0] : undefined,
    parts: withConfig ? children.slice(1) : children,
    annotations: annotationsOfDocument(document.annotations, what),
  }
}

/** Annotations. Throws OVM_ARTIFACT_INVALID for others than texts. */
export function annotationsOfDocument(value: unknown, what: string): Record<string, string> {
  if (value === undefined) return {}
  if (isObject(value) && Object.values(value).every((one) => typeof one === "string"))
    return value as Record<string, string>
  throw new OvmError("OVM_ARTIFACT_INVALID", `${what}: its annotations are not texts`)
}
