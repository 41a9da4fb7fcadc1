import { existsSync } from "node:fs"
import { OvmError } from "../errors.ts"
import { parseReference } from "../registry/reference.ts"

/** `text` as the store knows it: with its tag. Throws OVM_REFERENCE_INVALID. */
export function storeName(text: string): string {
  return parseReference(text).toString()
}

export function isUnknown(thrown: unknown): thrown is OvmError {
  return thrown instanceof OvmError && thrown.code === "OVM_NAME_UNKNOWN"
}

/** Adds to OVM_NAME_UNKNOWN what to do about a name that this host does not have. */
export function explainUnknown(thrown: unknown, text: string): unknown {
  return isUnknown(thrown) ? unknownHere(text, thrown) : thrown
}

export function unknownHere(text: string, cause?: unknown): OvmError {
  return new OvmError("OVM_NAME_UNKNOWN", `there is no image ${storeName(text)} on this host`, {
    cause,
    hint: suggestion(text),
  })
}

function suggestion(text: string): string {
  if (existsSync(text)) return `a path starts with / or ./, as in ./${text}`
  return parseReference(text).host === undefined ? "ovm images" : `ovm pull ${text}`
}
