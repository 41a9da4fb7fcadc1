import type { Descriptor } from "../content/descriptor.ts"
import { OCI_MANIFEST } from "../content/manifest.ts"
import type { ErrorCode } from "../errors.ts"
import { isObject } from "../objects.ts"
import { excerpt, type Fault, faultOfJson } from "./faults.ts"
import { ociManifest } from "./generated/oci-manifest.js"
import places from "./generated/oci-manifest.places.json" with { type: "json" }
import { readJson } from "./json.ts"
import { MANIFEST_TYPE } from "./machine/manifest.ts"
import { type DocumentSchema, schemaFaults } from "./schema.ts"
import {
  canonicalType,
  isOvmsType,
  SNAPSHOT_TYPE,
  saysSomething,
  TITLE_ANNOTATION,
  TYPE_ANNOTATION,
} from "./types.ts"

const SCHEMA: DocumentSchema = {
  document: "oci-manifest",
  code: "OVM_ARTIFACT_INVALID",
  validate: ociManifest,
  places,
}

/** The OCI image manifest of an OVMS artifact (spec/schema/oci-manifest.v1.json). */
export interface OciManifest {
  readonly schemaVersion: 2
  readonly mediaType?: string
  readonly artifactType?: string
  readonly config: Descriptor
  readonly layers: readonly Descriptor[]
  readonly subject?: Descriptor
  readonly annotations?: Readonly<Record<string, string>>
}

export interface OciVerdict {
  /** Both set if there is no fault. */
  readonly oci?: OciManifest
  /** Where the OVMS document is: the OVMS manifest, or the snapshot descriptor. */
  readonly manifestDescriptor?: Descriptor
  readonly faults: readonly Fault[]
}

/** What an OCI manifest is judged as: its type, what the OVMS document in it is called, and the requirements. */
interface OciKind {
  readonly type: string
  readonly document: string
  readonly code: ErrorCode
  readonly wrongType: string
  readonly noDocument: string
  readonly twoDocuments: string
}

const KINDS = {
  machine: {
    type: MANIFEST_TYPE,
    document: "OVMS manifest",
    code: "OVM_ARTIFACT_INVALID",
    wrongType: "OVMS-OCI-012",
    noDocument: "OVMS-OCI-020",
    twoDocuments: "OVMS-OCI-021",
  },
  snapshot: {
    type: SNAPSHOT_TYPE,
    document: "snapshot descriptor",
    code: "OVM_SNAPSHOT_INVALID",
    wrongType: "OVMS-SNP-001",
    noDocument: "OVMS-SNP-002",
    twoDocuments: "OVMS-SNP-002",
  },
} as const satisfies Record<string, OciKind>

/**
 * Judges the bytes of an OCI manifest as that of an OVMS artifact, a machine (spec/oci-mapping.md) or a snapshot
 * (spec/snapshot.md), and finds the OVMS document in it, in either form. Reports all faults at once. Throws nothing.
 */
export function validateOciManifest(bytes: Uint8Array, as: keyof typeof KINDS = "machine"): OciVerdict {
  const kind = KINDS[as]
  const read = readJson(bytes)
  if ("fault" in read) return { faults: [faultOfJson("oci-manifest", "OVM_ARTIFACT_INVALID", read.fault)] }
  const index = indexFault(read.value)
  if (index) return { faults: [index] }
  const broken = schemaFaults(SCHEMA, read.value)
  if (broken.length > 0) return { faults: broken }
  const oci = read.value as OciManifest
  const manifests = findDocument(oci, kind)
  const faults = [...typeFaults(oci, kind), ...manifests.faults, ...titleFaults(oci)]
  return faults.length > 0 || !manifests.found
    ? { faults }
    : { oci, manifestDescriptor: manifests.found, faults }
}

export function ociFault(
  pointer: string,
  requirement: string,
  message: string,
  code: ErrorCode = "OVM_ARTIFACT_INVALID",
): Fault {
  return { document: "oci-manifest", pointer, requirement, code, message }
}

/**
 * The type of the artifact whose OCI manifest has these bytes (OVMS-OCI-010, OVMS-OCI-014); undefined if they are none,
 * or say none.
 */
export function artifactTypeOf(bytes: Uint8Array): string | undefined {
  const read = readJson(bytes)
  if ("fault" in read || indexFault(read.value) || schemaFaults(SCHEMA, read.value).length > 0)
    return undefined
  return saidTypes(read.value as OciManifest)[0]?.type
}

function saidTypes(oci: OciManifest): { readonly pointer: string; readonly type: string }[] {
  return [
    { pointer: "/artifactType", type: oci.artifactType },
    { pointer: "/config/mediaType", type: oci.config.mediaType },
    { pointer: `/annotations/${TYPE_ANNOTATION}`, type: oci.annotations?.[TYPE_ANNOTATION] },
  ].flatMap(({ pointer, type }) => (saysSomething(type) ? [{ pointer, type: canonicalType(type) }] : []))
}

const CONTAINER = "a container image, which has no machine in it; ovm pack makes one of a kernel and disks"

/** By the type of its config, and by that of Docker's own manifests. */
function isContainer(type: string): boolean {
  return /^application\/vnd\.(?:oci\.image\.config\.|docker\.)/.test(type)
}

/** An index gets an answer of its own: it is what a registry most often has in the place of a manifest. */
function indexFault(value: unknown): Fault | undefined {
  if (!isObject(value)) return undefined
  const { mediaType } = value
  if (mediaType === undefined && "manifests" in value)
    return ociFault("/manifests", "OVMS-OCI-002", "it is an OCI index, not a manifest")
  if (typeof mediaType === "string" && mediaType !== OCI_MANIFEST) {
    const isIndex = /index|manifest\.list/.test(mediaType)
    const what = isIndex ? "an index" : isContainer(mediaType) ? CONTAINER : excerpt(mediaType)
    return ociFault(
      "/mediaType",
      "OVMS-OCI-002",
      `it is ${what}; an OVMS artifact is an OCI image manifest (${OCI_MANIFEST})`,
    )
  }
  return undefined
}

/** OVMS-OCI-010 to OVMS-OCI-013. */
function typeFaults(oci: OciManifest, kind: OciKind): Fault[] {
  const said = saidTypes(oci)
  const [first] = said
  if (!first)
    return [
      ociFault(
        "/artifactType",
        kind.wrongType,
        "nothing says that this is an OVMS artifact: there is no artifactType",
        kind.code,
      ),
    ]
  const faults: Fault[] = []
  if (first.type !== kind.type)
    faults.push(
      ociFault(
        first.pointer,
        kind.wrongType,
        `${isContainer(first.type) ? `it is ${CONTAINER}: ` : ""}the artifact's type is ${excerpt(first.type)}, not ${kind.type}`,
        kind.code,
      ),
    )
  const ovms = said.filter(({ type }) => isOvmsType(type))
  const other = ovms.find(({ type }) => type !== ovms[0]?.type)
  if (other)
    faults.push(
      ociFault(
        other.pointer,
        "OVMS-OCI-013",
        `${excerpt(other.type)} contradicts the OVMS type ${ovms[0]?.type}`,
      ),
    )
  return faults
}

function descriptorsOf(oci: OciManifest): { readonly pointer: string; readonly descriptor: Descriptor }[] {
  const layers = oci.layers.map((descriptor, index) => ({ pointer: `/layers/${index}`, descriptor }))
  return [{ pointer: "/config", descriptor: oci.config }, ...layers]
}

/** OVMS-OCI-020 and OVMS-OCI-021; OVMS-SNP-002. */
function findDocument(
  oci: OciManifest,
  kind: OciKind,
): { readonly found?: Descriptor; readonly faults: Fault[] } {
  const places = descriptorsOf(oci).filter(
    ({ descriptor }) => canonicalType(descriptor.mediaType) === kind.type,
  )
  const [first, second] = places
  if (!first) {
    const reason = `neither the config nor a layer holds the ${kind.document} (${kind.type})`
    return { faults: [ociFault("/layers", kind.noDocument, reason, kind.code)] }
  }
  if (second) {
    const reason = `there is a second ${kind.document} beside ${first.pointer}`
    return { faults: [ociFault(second.pointer, kind.twoDocuments, reason, kind.code)] }
  }
  return { found: first.descriptor, faults: [] }
}

/** OVMS-OCI-040: a title becomes a file name in other tools. */
function titleFaults(oci: OciManifest): Fault[] {
  return descriptorsOf(oci).flatMap(({ pointer, descriptor }) => {
    const title = descriptor.annotations?.[TITLE_ANNOTATION]
    if (title === undefined || isSafeTitle(title)) return []
    const reason = `the title ${excerpt(title)} is not a relative path that stays in its folder`
    return [ociFault(`${pointer}/annotations/${TITLE_ANNOTATION}`, "OVMS-OCI-040", reason)]
  })
}

function isSafeTitle(title: string): boolean {
  const bad = (segment: string) => segment === "" || segment === "." || segment === ".."
  return [...title].length <= 255 && !/[\\\p{Cc}]/u.test(title) && !title.split("/").some(bad)
}
