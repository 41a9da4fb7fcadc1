import { type Fault, faultOfJson, faultsError } from "../faults.ts"
import { manifest } from "../generated/manifest.js"
import places from "../generated/manifest.places.json" with { type: "json" }
import { readJson } from "../json.ts"
import { type DocumentSchema, schemaFaults } from "../schema.ts"
import type { OvmsManifest } from "./manifest.ts"
import { memberFaults } from "./members.ts"

const SCHEMA: DocumentSchema = {
  document: "manifest",
  code: "OVM_MANIFEST_INVALID",
  validate: manifest,
  places,
}

export interface ManifestVerdict {
  /** Set if there is no fault. */
  readonly manifest?: OvmsManifest
  readonly faults: readonly Fault[]
}

/** Judges the bytes of an OVMS manifest and reports all faults at once (spec/manifest.md). Throws nothing. */
export function validateManifest(bytes: Uint8Array): ManifestVerdict {
  const read = readJson(bytes)
  if ("fault" in read) return { faults: [faultOfJson("manifest", "OVM_MANIFEST_INVALID", read.fault)] }
  const faults = [...schemaFaults(SCHEMA, read.value), ...memberFaults("manifest", read.value)]
  return faults.length > 0 ? { faults } : { manifest: read.value as OvmsManifest, faults }
}

/**
 * The OVMS manifest in `bytes`; `what` names it in errors. Throws OVM_MANIFEST_INVALID (OVM_TOO_LARGE if it is too
 * long, OVM_UNSUPPORTED if nothing but reserved names is wrong) with every fault as `detail`.
 */
export function parseManifest(bytes: Uint8Array, what = "the OVMS manifest"): OvmsManifest {
  const { manifest, faults } = validateManifest(bytes)
  if (!manifest) throw faultsError(what, faults)
  return manifest
}
