import type { Fault } from "../../artifact/faults.ts"

export function policyFault(pointer: string, requirement: string, message: string): Fault {
  return { document: "policy", pointer, requirement, code: "OVM_POLICY_INVALID", message }
}
