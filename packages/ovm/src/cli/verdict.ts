import type { Fault } from "../artifact/faults.ts"
import { OvmError } from "../errors.ts"
import { faultLine } from "./failure.ts"

/** A fault of a document, or of content, which breaks no single requirement. */
export type AnyFault = Omit<Fault, "requirement"> & Partial<Pick<Fault, "requirement">>

/** What was judged, and everything that is wrong with it. */
export interface Verdict {
  readonly kind: "manifest" | "oci-manifest" | "pack-source" | "image" | "snapshot"
  readonly faults: readonly AnyFault[]
}

/** The error for `faults`; its code is that of the first which is more than a name reserved for later. */
export function refusal(what: string, faults: readonly [AnyFault, ...AnyFault[]]): OvmError {
  const { code } = faults.find((fault) => fault.code !== "OVM_UNSUPPORTED") ?? faults[0]
  const message =
    faults.length === 1 ? `${what}: ${faultLine(faults[0])}` : `${what} has ${faults.length} faults`
  return new OvmError(code, message, { detail: faults })
}
