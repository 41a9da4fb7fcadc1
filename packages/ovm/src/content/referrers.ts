import { OvmError } from "../errors.ts"
import { isObject } from "../objects.ts"
import type { Descriptor } from "./descriptor.ts"
import { type Digest, digestOf } from "./digest.ts"
import { parseLinks } from "./manifest.ts"

export interface Referrer {
  /** What an entry of a list of referrers says. */
  readonly descriptor: Descriptor
  readonly subject: Digest
}

/**
 * What `bytes` are as a referrer: a manifest or index with a `subject` (distribution-spec: "Listing Referrers"). The
 * entry has all annotations, and the type of the config where there is no artifactType. Undefined for anything else.
 */
export function parseReferrer(bytes: Uint8Array): Referrer | undefined {
  try {
    const { mediaType, subject } = parseLinks(bytes, "a manifest")
    if (subject === undefined) return undefined
    const document: unknown = JSON.parse(new TextDecoder().decode(bytes))
    if (!isObject(document)) return undefined
    const { artifactType, config, annotations } = document
    const type = artifactType ?? (isObject(config) ? config.mediaType : undefined)
    const descriptor = {
      mediaType,
      digest: digestOf(bytes),
      size: bytes.byteLength,
      ...(typeof type === "string" && type !== "" && { artifactType: type }),
      ...(isAnnotations(annotations) && { annotations }),
    }
    return { descriptor, subject }
  } catch (error) {
    if (error instanceof OvmError) return undefined
    throw error
  }
}

/** True for a filter's own type and where there is no filter. */
export function hasType(entry: Descriptor, artifactType: string | undefined): boolean {
  return artifactType === undefined || entry.artifactType === artifactType
}

export function isAnnotations(value: unknown): value is Readonly<Record<string, string>> {
  return isObject(value) && Object.values(value).every((text) => typeof text === "string")
}
