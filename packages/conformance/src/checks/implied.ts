import type { Vector } from "../vectors.ts"

/** The requirement that a document of this kind is refused, and with which code. */
const REFUSED: Readonly<Record<string, readonly string[]>> = {
  "manifest OVM_MANIFEST_INVALID": ["OVMS-MAN-005", "OVMS-CNF-012", "OVMS-ERR-010"],
  "artifact OVM_ARTIFACT_INVALID": ["OVMS-OCI-008", "OVMS-ERR-011"],
  "snapshot OVM_SNAPSHOT_INVALID": ["OVMS-SNP-008"],
  "snapshot-artifact OVM_SNAPSHOT_INVALID": ["OVMS-SNP-008", "OVMS-ERR-011"],
  "disk OVM_DISK_INVALID": ["OVMS-DSK-008"],
  "policy OVM_POLICY_INVALID": ["OVMS-POL-005"],
  "reference OVM_REFERENCE_INVALID": ["OVMS-CNF-011"],
}

/** What of JSON itself may be wrong in a document (spec/security.md): whatever breaks it is invalid. */
const JSON_RULES = /^OVMS-SEC-01[0-3]$/

/** Requirements that the check of a vector is about besides those that the vector names. */
export function impliedBy({ kind, code, requirement = "", path, expect }: Vector): readonly string[] {
  if (code === undefined) {
    if (kind !== "reference") return []
    return ["OVMS-CNF-010", "OVMS-CNF-014", ...(expect ? ["OVMS-CNF-013"] : [])]
  }
  return [
    ...(REFUSED[`${kind} ${code}`] ?? []),
    ...(JSON_RULES.test(requirement) ? ["OVMS-SEC-014"] : []),
    ...(/\/ram-table-/.test(path) && code === "OVM_SNAPSHOT_INVALID" ? ["OVMS-SNP-054"] : []),
    ...(/\/bytes-(proto|constructor)/.test(path) ? ["OVMS-SEC-013"] : []),
    ...(/\/artifact-media-type-parameters$/.test(path) ? ["OVMS-OCI-071"] : []),
    ...(/-schemaVersion-2$/.test(path) ? ["OVMS-VER-001"] : []),
  ]
}
