import { type ErrorCode, OvmError } from "../errors.ts"
import type { JsonFault, JsonFaultKind } from "./json.ts"

/** Which document a fault's pointer points into. */
export type FaultDocument = "manifest" | "oci-manifest" | "oci-index" | "pack-source" | "snapshot" | "policy"

/** One thing that is wrong. A document is judged whole: all its faults are reported at once. */
export interface Fault {
  readonly document: FaultDocument
  /** JSON pointer (RFC 6901) of what is wrong; of a missing member, where it should be. */
  readonly pointer: string
  /** The ID of the requirement that is broken, as in spec/requirements.json. */
  readonly requirement: string
  readonly code: ErrorCode
  /** One sentence that names the field and the reason. */
  readonly message: string
}

const JSON_REQUIREMENTS: Readonly<Record<JsonFaultKind, string>> = {
  size: "OVMS-LIM-001",
  depth: "OVMS-LIM-002",
  encoding: "OVMS-SEC-010",
  syntax: "OVMS-SEC-011",
  duplicate: "OVMS-SEC-012",
}

/** The requirement that a document breaks which cannot be read as JSON. */
export function requirementOfJson(fault: JsonFault): string {
  return JSON_REQUIREMENTS[fault.kind]
}

/** The fault of a document that could not even be read. `code` is that of an invalid document of its kind. */
export function faultOfJson(document: FaultDocument, code: ErrorCode, fault: JsonFault): Fault {
  return {
    document,
    pointer: fault.pointer,
    requirement: requirementOfJson(fault),
    code: fault.kind === "size" ? "OVM_TOO_LARGE" : code,
    message: fault.message,
  }
}

/**
 * The error for `faults` of `what`, with all of them as `detail`. Its code is OVM_UNSUPPORTED if only reserved names
 * are at fault, OVM_TOO_LARGE if the size is, else the first that says more than that.
 */
export function faultsError(what: string, faults: readonly Fault[]): OvmError {
  const first = faults.find((fault) => fault.code !== "OVM_UNSUPPORTED") ?? faults[0]
  if (!first) return new OvmError("OVM_INTERNAL", `${what} was refused without a fault`)
  const at = first.pointer === "" ? "" : `${first.pointer}: `
  const more = faults.length > 1 ? ` (and ${faults.length - 1} more)` : ""
  return new OvmError(first.code, `${what}: ${at}${first.message} [${first.requirement}]${more}`, {
    detail: faults,
  })
}

/** A value as an excerpt that is safe to print: JSON, printable ASCII only, at most 60 characters. */
export function excerpt(value: unknown): string {
  const text =
    typeof value === "string" ? JSON.stringify(value.slice(0, 60)) : (JSON.stringify(value) ?? "nothing")
  const plain = text.replace(/[^ -~]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`)
  return plain.length > 60 ? `${plain.slice(0, 57)}...` : plain
}
