import { OvmError } from "../../errors.ts"
import type { Decision } from "./decision.ts"
import { rulesJson } from "./json.ts"

/** The error for a decision against what was asked for. */
export function refusedBy({ reference, digest, scope, policy, rules }: Decision): OvmError {
  const failed = rules.filter(({ holds }) => !holds)
  const [first] = failed
  const at = first?.pointer ? `${first.pointer} (${first.type})` : "signature"
  const more = failed.length > 1 ? ` (and ${failed.length - 1} more)` : ""
  const what = first?.of === "snapshot" ? "the snapshot: " : ""
  const message = `${reference}: ${what}${at}: ${first?.reason ?? "refused"}${more}`
  return new OvmError(
    policy === undefined ? (first?.code ?? "OVM_POLICY_REFUSED") : "OVM_POLICY_REFUSED",
    message,
    {
      detail: { reference, digest, ...(scope !== undefined && { scope }), rules: rulesJson(rules) },
      hint: `ovm policy check ${reference}`,
    },
  )
}

/** True for an error that is a policy's or a signature's answer, not trouble on the way to one. */
export function isRefusal(error: unknown): error is OvmError {
  return error instanceof OvmError && error.httpStatus === 403
}
