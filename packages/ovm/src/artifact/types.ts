import { DISK_TYPE, DISK_TYPES_READ, type DiskFormat, MANIFEST_TYPE } from "./machine/manifest.ts"

const OVMS = "application/vnd.ovms."
const ALIAS = /^application\/vnd\.[a-z0-9-]+\.ovms\./

/** What tools write where nobody told them a type; it says nothing (OVMS-OCI-011). */
const SAYS_NOTHING: readonly string[] = [
  "",
  "application/vnd.oci.empty.v1+json",
  "application/vnd.unknown.artifact.v1",
  "application/vnd.unknown.config.v1+json",
]

export const TYPE_ANNOTATION = "ovms.type"
export const TITLE_ANNOTATION = "org.opencontainers.image.title"
export const INDEX_TYPE = "application/vnd.ovms.index.v1+json"
export const SNAPSHOT_TYPE = "application/vnd.ovms.snapshot.v1+json"
export const STATE_TYPE = "application/vnd.ovms.vmstate.v1"
export const RAM_TABLE_TYPE = "application/vnd.ovms.ramtable.v1"
export const RAM_PAGES_TYPE = "application/vnd.ovms.rampages.v1"
/** On the RAM's layer: digest of the table of frames. */
export const RAM_TABLE_ANNOTATION = "ovms.ram.table"
export const RAM_TYPES = {
  lz4: "application/vnd.ovms.ramsnap.v1+lz4",
  zstd: "application/vnd.ovms.ramsnap.v1+zstd",
} as const

/** `application/vnd.ORG.ovms.X` is read as `application/vnd.ovms.X`; anything else stays (OVMS-OCI-014). */
export function canonicalType(type: string): string {
  return type.replace(ALIAS, OVMS)
}

export function isOvmsType(type: string): boolean {
  return canonicalType(type).startsWith(OVMS)
}

export function isManifestType(type: string): boolean {
  return canonicalType(type) === MANIFEST_TYPE
}

export function isSnapshotType(type: string): boolean {
  return canonicalType(type) === SNAPSHOT_TYPE
}

/** False for an absent type, and for one that tools fill in. */
export function saysSomething(type: string | undefined): type is string {
  return type !== undefined && !SAYS_NOTHING.includes(type)
}

/** Whether a descriptor of this type may be a disk, and the format if the type tells it (OVMS-OCI-033). */
export function diskType(type: string): { readonly isDisk: boolean; readonly format?: DiskFormat } {
  const canonical = canonicalType(type)
  if (canonical === DISK_TYPE) return { isDisk: true }
  const format = (DISK_TYPES_READ as Readonly<Record<string, DiskFormat>>)[canonical]
  return format ? { isDisk: true, format } : { isDisk: false }
}
