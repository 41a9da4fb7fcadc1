import { OvmError } from "../errors.ts"
import type { Unsupported } from "../vmm/plan.ts"

/** OVM_UNSUPPORTED with every fatal one of `findings`, after `what` cannot be done; undefined if none is. */
export function refusalOf(what: string, findings: readonly Unsupported[]): OvmError | undefined {
  const fatal = findings.filter(({ severity }) => severity === "fatal")
  if (fatal.length === 0) return undefined
  return new OvmError("OVM_UNSUPPORTED", `${what}: ${fatal.map(sentence).join("; ")}`, {
    detail: fatal.map(({ pointer, reason }) => ({ pointer, reason })),
  })
}

export function sentence({ pointer, reason }: Unsupported): string {
  return `${pointer}: ${reason}`
}
