import { isObject } from "../objects.ts"
import { type BlobDigest, isBlobDigest } from "./digest.ts"
import { Refusal } from "./refusal.ts"

/**
 * What a registry needs to know of a manifest. Other than content/manifest.ts it takes sha512 and types that nobody
 * knows.
 */
export interface ManifestBody {
  readonly mediaType: string
  readonly artifactType?: string
  readonly annotations?: Readonly<Record<string, string>>
  readonly subject?: BlobDigest
  /** Config and layers that must be in the repository already. */
  readonly blobs: readonly BlobDigest[]
}

const FALLBACK = "application/vnd.oci.image.manifest.v1+json"
const INDEX = "application/vnd.oci.image.index.v1+json"
const TYPE = /^[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}\/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}$/
/** Layers of these types are fetched from elsewhere (image-spec: layer.md, "Non-Distributable Layers"). */
const FOREIGN = /(?:\.foreign\.|nondistributable)/

/**
 * Reads a manifest of any type that was sent as `contentType` (distribution-spec: "Pushing Manifests"; the list of
 * referrers is made of `artifactType` and `annotations` as "Listing Referrers" has it). Throws 400 MANIFEST_INVALID,
 * naming the field.
 */
export function readManifestBody(bytes: Uint8Array, contentType: string | null): ManifestBody {
  const document = parse(bytes)
  const stated = document.mediaType
  if (stated !== undefined && !isType(stated)) throw invalid("mediaType is not a media type")
  const sent = contentType?.split(";")[0]?.trim() || undefined
  if (sent !== undefined && stated !== undefined && sent !== stated)
    throw invalid(`mediaType is ${stated}, the request's Content-Type is ${sent.slice(0, 260)}`)
  const mediaType = stated ?? sent ?? ("manifests" in document ? INDEX : FALLBACK)
  if (!isType(mediaType)) throw invalid("the request's Content-Type is not a media type")

  const config = document.config === undefined ? undefined : descriptor(document.config, "config")
  const layers = list(document.layers, "layers")
  list(document.manifests, "manifests")
  const subject = document.subject === undefined ? undefined : descriptor(document.subject, "subject")
  const artifactType = document.artifactType || config?.mediaType
  return {
    mediaType,
    ...(typeof artifactType === "string" && { artifactType }),
    ...annotationsOf(document),
    ...(subject && { subject: subject.digest }),
    blobs: [...(config ? [config] : []), ...layers].filter(isHere).map(({ digest }) => digest),
  }
}

interface Link {
  readonly mediaType: string
  readonly digest: BlobDigest
  readonly urls?: unknown
}

function isHere({ mediaType, urls }: Link): boolean {
  return !FOREIGN.test(mediaType) && !(Array.isArray(urls) && urls.length > 0)
}

function parse(bytes: Uint8Array): Record<string, unknown> {
  let value: unknown
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes))
  } catch {
    throw invalid("it is not JSON in UTF-8")
  }
  if (isObject(value)) return value
  throw invalid("it is not a JSON object")
}

// Go programs write null for what is empty.
function list(value: unknown, field: string): readonly Link[] {
  if (value === undefined || value === null) return []
  if (!Array.isArray(value)) throw invalid(`${field} is not an array`)
  return value.map((entry, at) => descriptor(entry, `${field}[${at}]`))
}

function descriptor(value: unknown, field: string): Link {
  if (!isObject(value)) throw invalid(`${field} is not a descriptor`)
  const { mediaType, digest, size } = value
  if (typeof mediaType !== "string") throw invalid(`${field} has no mediaType`)
  if (!isBlobDigest(digest)) throw invalid(`${field} has no sha256 or sha512 digest`)
  if (!Number.isSafeInteger(size) || Number(size) < 0) throw invalid(`${field} has no size`)
  return { mediaType, digest, urls: value.urls }
}

function annotationsOf({ annotations }: Record<string, unknown>): Pick<ManifestBody, "annotations"> {
  if (annotations === undefined || annotations === null) return {}
  if (!isObject(annotations) || !Object.values(annotations).every((value) => typeof value === "string"))
    throw invalid("annotations is not a map of strings")
  return { annotations: annotations as Record<string, string> }
}

function isType(value: unknown): value is string {
  return typeof value === "string" && TYPE.test(value)
}

function invalid(reason: string): Refusal {
  return new Refusal(400, "MANIFEST_INVALID", `the manifest is refused: ${reason}`)
}
