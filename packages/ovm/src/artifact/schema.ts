import type { ErrorCode } from "../errors.ts"
import { breaches } from "./breaches.ts"
import type { Fault, FaultDocument } from "./faults.ts"
import places from "./generated/places.json" with { type: "json" }
import { manifest, ociManifest, packSource, snapshot } from "./generated/validators.js"

interface Kind {
  readonly document: FaultDocument
  readonly code: ErrorCode
}

const VALIDATORS = { manifest, packSource, ociManifest, snapshot }

const KINDS = {
  manifest: { document: "manifest", code: "OVM_MANIFEST_INVALID" },
  packSource: { document: "pack-source", code: "OVM_SOURCE_INVALID" },
  ociManifest: { document: "oci-manifest", code: "OVM_ARTIFACT_INVALID" },
  snapshot: { document: "snapshot", code: "OVM_SNAPSHOT_INVALID" },
} as const satisfies Record<string, Kind>

/** Every breach of a document's JSON Schema by `value`. */
export function schemaFaults(schema: keyof typeof KINDS, value: unknown): Fault[] {
  const { document, code } = KINDS[schema]
  return breaches(VALIDATORS[schema], places[schema], value).map(({ reserved, ...breach }) => ({
    document,
    ...breach,
    code: reserved ? "OVM_UNSUPPORTED" : code,
  }))
}
