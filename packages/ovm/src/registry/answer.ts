import type { Descriptor } from "../content/descriptor.ts"
import { isDigest } from "../content/digest.ts"
import { MANIFEST_TYPES } from "../content/manifest.ts"
import { OvmError } from "../errors.ts"
import { isObject } from "../objects.ts"
import { isTag } from "./reference.ts"
import { sizeHeader } from "./transfer/download.ts"

// What a registry's answers say (distribution-spec: "Pulling manifests", "Listing Tags").

/**
 * A manifest's descriptor from headers alone, if they say everything. Throws OVM_REGISTRY_FAILED, naming `what`, for a
 * size that is none.
 */
export function descriptorIn(headers: Headers, what: string): Descriptor | undefined {
  const digest = headers.get("docker-content-digest")
  const mediaType = headers.get("content-type")?.split(";")[0]?.trim()
  const size = sizeHeader(headers, what)
  if (!isDigest(digest) || !mediaType || !MANIFEST_TYPES.includes(mediaType) || size === undefined)
    return undefined
  return { mediaType, digest, size }
}

/**
 * The tags of a page of their list; what cannot be a tag is left out. Throws OVM_REGISTRY_FAILED, naming `what`, for
 * what is no list.
 */
export function tagsIn(bytes: Uint8Array, what: string): string[] {
  let body: unknown
  try {
    body = JSON.parse(new TextDecoder().decode(bytes))
  } catch {
    // Judged below, like any other answer of the wrong shape.
  }
  const tags = isObject(body) ? (body.tags ?? []) : undefined
  if (!Array.isArray(tags)) throw new OvmError("OVM_REGISTRY_FAILED", `${what}: its answer is no list`)
  return tags.filter((tag): tag is string => typeof tag === "string" && isTag(tag))
}
