import { OvmError } from "../errors.ts"
import type { Unsupported } from "./plan.ts"

/** Throws OVM_UNSUPPORTED with all findings if one of them is fatal. */
export function refuseFatal(findings: readonly Unsupported[]): void {
  const fatal = findings.filter(({ severity }) => severity === "fatal")
  const [first] = fatal
  if (first) throw new OvmError("OVM_UNSUPPORTED", `${first.pointer}: ${first.reason}`, { detail: fatal })
}
