import { breaches } from "../../artifact/breaches.ts"
import { type Fault, faultOfJson } from "../../artifact/faults.ts"
import { readJson } from "../../artifact/json.ts"
import { contradictions } from "./contradictions.ts"
import type { PolicyDocument } from "./document.ts"
import { policyFault } from "./fault.ts"
import places from "./generated/places.json" with { type: "json" }
import { policy } from "./generated/validators.js"

/** Bytes (OVMS-POL-004). */
export const POLICY_LIMIT = 1 << 20

export interface PolicyVerdict {
  /** Set if there is no fault. */
  readonly document?: PolicyDocument
  readonly faults: readonly Fault[]
}

/**
 * Judges the bytes of a policy and reports all faults at once (spec/policy.md). Looks at no file that it names. Throws
 * nothing.
 */
export function validatePolicy(bytes: Uint8Array): PolicyVerdict {
  const read = readJson(bytes, { bytes: POLICY_LIMIT })
  if ("fault" in read) {
    const fault = faultOfJson("policy", "OVM_POLICY_INVALID", read.fault)
    const scopeTwice = read.fault.kind === "duplicate" && /^\/scopes\/[^/]*$/.test(fault.pointer)
    const requirement =
      read.fault.kind === "size" ? "OVMS-POL-004" : scopeTwice ? "OVMS-POL-011" : fault.requirement
    return { faults: [{ ...fault, code: "OVM_POLICY_INVALID", requirement }] }
  }
  const found = breaches(policy, places, read.value)
  const faults =
    found.length > 0
      ? found.map(({ pointer, requirement, message }) => policyFault(pointer, requirement, message))
      : contradictions(read.value as PolicyDocument)
  return faults.length > 0 ? { faults } : { document: read.value as PolicyDocument, faults }
}
