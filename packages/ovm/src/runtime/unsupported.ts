import { OvmError } from "../errors.ts"
import type { Unsupported } from "../vmm/plan.ts"

const UEFI: readonly string[] = [
  "/metadata/platform/uefi",
  "/metadata/platform/secureBoot",
  "/firmware/variables",
]

/**
 * OVM_UNSUPPORTED with every fatal one of `findings`, after `what` cannot be done, OVM_UEFI_UNSUPPORTED where that is
 * the firmware; undefined if none is.
 */
export function refusalOf(what: string, findings: readonly Unsupported[]): OvmError | undefined {
  const fatal = findings.filter(({ severity }) => severity === "fatal")
  if (fatal.length === 0) return undefined
  const code = fatal.some(({ pointer }) => UEFI.includes(pointer))
    ? "OVM_UEFI_UNSUPPORTED"
    : "OVM_UNSUPPORTED"
  return new OvmError(code, `${what}: ${fatal.map(sentence).join("; ")}`, {
    detail: fatal.map(({ pointer, reason }) => ({ pointer, reason })),
  })
}

export function sentence({ pointer, reason }: Unsupported): string {
  return `${pointer}: ${reason}`
}
