import type { ErrorCode } from "../errors.ts"
import { breaches, type Places, type Validator } from "./breaches.ts"
import type { Fault, FaultDocument } from "./faults.ts"

/** A document's JSON Schema, compiled, and what a breach of it is. */
export interface DocumentSchema {
  readonly document: FaultDocument
  readonly code: ErrorCode
  readonly validate: Validator
  readonly places: Places
}

/** Every breach of a document's JSON Schema by `value`. */
export function schemaFaults({ document, code, validate, places }: DocumentSchema, value: unknown): Fault[] {
  return breaches(validate, places, value).map(({ reserved, ...breach }) => ({
    document,
    ...breach,
    code: reserved ? "OVM_UNSUPPORTED" : code,
  }))
}
