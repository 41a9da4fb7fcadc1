import type { Descriptor } from "../../content/descriptor.ts"
import { isObject } from "../../objects.ts"
import { excerpt, type Fault, faultOfJson } from "../faults.ts"
import { ociIndex } from "../generated/oci-index.js"
import places from "../generated/oci-index.places.json" with { type: "json" }
import { readJson } from "../json.ts"
import { type DocumentSchema, schemaFaults } from "../schema.ts"
import { canonicalType, INDEX_TYPE, saysSomething, TYPE_ANNOTATION } from "../types.ts"

const SCHEMA: DocumentSchema = {
  document: "oci-index",
  code: "OVM_ARTIFACT_INVALID",
  validate: ociIndex,
  places,
}

/** More than there are platforms that anybody builds for (spec/limits.md). */
export const MOST_ENTRIES = 256

/** The descriptor of an OCI manifest, with what it is for. */
export interface PlatformEntry extends Omit<Descriptor, "platform"> {
  readonly platform?: { readonly os: string; readonly architecture: string; readonly variant?: string }
}

/** An OCI image index, as far as OVMS reads it (spec/schema/oci-index.v1.json). */
export interface OciIndex {
  readonly schemaVersion: 2
  readonly mediaType?: string
  readonly artifactType?: string
  readonly manifests: readonly PlatformEntry[]
  readonly annotations?: Readonly<Record<string, string>>
}

export interface IndexVerdict {
  /** Set if there is no fault. */
  readonly index?: OciIndex
  readonly faults: readonly Fault[]
}

/** Judges the bytes of an index of machines, and reports all faults at once (spec/platforms.md). Throws nothing. */
export function validateIndex(bytes: Uint8Array): IndexVerdict {
  const read = readJson(bytes)
  if ("fault" in read) return { faults: [faultOfJson("oci-index", "OVM_ARTIFACT_INVALID", read.fault)] }
  const crowd = crowdFault(read.value)
  if (crowd) return { faults: [crowd] }
  const broken = schemaFaults(SCHEMA, read.value)
  if (broken.length > 0) return { faults: broken }
  const index = read.value as OciIndex
  const faults = typeFaults(index)
  return faults.length > 0 ? { faults } : { index, faults }
}

/** OVMS-IDX-011: none of too many entries is looked at. */
function crowdFault(value: unknown): Fault | undefined {
  if (!isObject(value) || !Array.isArray(value.manifests)) return undefined
  const { length } = value.manifests
  if (length <= MOST_ENTRIES) return undefined
  const message = `manifests has ${length} entries; the limit is ${MOST_ENTRIES}`
  const code = "OVM_TOO_LARGE"
  return { document: "oci-index", pointer: "/manifests", requirement: "OVMS-IDX-011", code, message }
}

/** OVMS-IDX-015. */
function typeFaults({ artifactType, annotations }: OciIndex): Fault[] {
  const said = [
    { pointer: "/artifactType", type: artifactType },
    { pointer: `/annotations/${TYPE_ANNOTATION}`, type: annotations?.[TYPE_ANNOTATION] },
  ].find(({ type }) => saysSomething(type))
  if (!said?.type || canonicalType(said.type) === INDEX_TYPE) return []
  const message = `the index is of the type ${excerpt(said.type)}, not ${INDEX_TYPE}`
  const { pointer } = said
  const code = "OVM_ARTIFACT_INVALID"
  return [{ document: "oci-index", pointer, requirement: "OVMS-IDX-015", code, message }]
}
