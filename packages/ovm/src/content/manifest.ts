import { OvmError } from "../errors.ts"
import { isObject } from "../objects.ts"
import type { Descriptor } from "./descriptor.ts"
import { type Digest, isDigest } from "./digest.ts"

export const OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
export const OCI_INDEX = "application/vnd.oci.image.index.v1+json"
/** The older names of the same two documents, which registries still serve. */
const DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
const DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"

export const MANIFEST_TYPES: readonly string[] = [OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_INDEX]

/** True for documents that refer to other content, and that registries keep apart from blobs. */
export function isManifest(target: Pick<Descriptor, "mediaType">): boolean {
  return MANIFEST_TYPES.includes(target.mediaType)
}

/** What a manifest or index refers to (image-spec: manifest.md, image-index.md). */
export interface Links {
  readonly mediaType: string
  /** Config and layers of a manifest, entries of an index. Without these it cannot be used. */
  readonly children: readonly Descriptor[]
  readonly subject?: Digest
  /** What it may say that it is: the artifactType, the type of the config. */
  readonly types: readonly string[]
}

/** Reads the links of a manifest and nothing else. Throws OVM_ARTIFACT_INVALID, naming `what` and the field. */
export function parseLinks(bytes: Uint8Array, what: string): Links {
  const document = parseObject(bytes, what)
  if (document.schemaVersion !== 2)
    throw new OvmError(
      "OVM_ARTIFACT_INVALID",
      `${what} is not an OCI manifest or index: schemaVersion is not 2`,
    )
  const subject =
    document.subject === undefined ? undefined : descriptor(document.subject, `${what}: subject`)
  return {
    mediaType: typeof document.mediaType === "string" ? document.mediaType : guessType(document),
    children: [
      ...(document.config === undefined ? [] : [descriptor(document.config, `${what}: config`)]),
      ...list(document.layers, `${what}: layers`),
      ...list(document.manifests, `${what}: manifests`),
    ],
    ...(subject && { subject: subject.digest }),
    types: [document.artifactType, isObject(document.config) ? document.config.mediaType : undefined].filter(
      (type) => typeof type === "string",
    ),
  }
}

/** `mediaType` is optional in both documents; then their shape decides. */
function guessType(document: Record<string, unknown>): string {
  return "manifests" in document ? OCI_INDEX : OCI_MANIFEST
}

function parseObject(bytes: Uint8Array, what: string): Record<string, unknown> {
  let value: unknown
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes))
  } catch (cause) {
    throw new OvmError("OVM_ARTIFACT_INVALID", `${what} is not JSON in UTF-8`, { cause })
  }
  if (isObject(value)) return value
  throw new OvmError("OVM_ARTIFACT_INVALID", `${what} is not a JSON object`)
}

function list(value: unknown, what: string): Descriptor[] {
  if (value === undefined) return []
  if (!Array.isArray(value)) throw new OvmError("OVM_ARTIFACT_INVALID", `${what} is not an array`)
  return value.map((entry, at) => descriptor(entry, `${what}[${at}]`))
}

function descriptor(value: unknown, what: string): Descriptor {
  if (!isObject(value)) throw new OvmError("OVM_ARTIFACT_INVALID", `${what} is not a descriptor`)
  if (typeof value.mediaType !== "string")
    throw new OvmError("OVM_ARTIFACT_INVALID", `${what} has no mediaType`)
  if (!isDigest(value.digest)) throw new OvmError("OVM_ARTIFACT_INVALID", `${what} has no sha256 digest`)
  if (!Number.isSafeInteger(value.size) || Number(value.size) < 0)
    throw new OvmError("OVM_ARTIFACT_INVALID", `${what} has no size`)
  return value as unknown as Descriptor
}
