import type { Explanation } from "../runtime/interfaces.ts"
import { printJson, warn } from "./output.ts"
import { printListing } from "./terminal/lines.ts"

/** Prints what a start would do (`ovm run --explain`). */
export function printExplanation(explanation: Explanation, { json }: { readonly json?: boolean }): void {
  if (json) {
    printJson(explanation)
    return
  }
  const { image, snapshot, vmms, warnings } = explanation
  printListing([
    ["image", `${image.reference}@${image.digest}`],
    snapshot === undefined ? ["boots", "no snapshot is gone on from"] : ["goes on", snapshot],
    ...vmms.flatMap(lines),
  ])
  for (const warning of warnings) warn(warning)
}

function lines(vmm: Explanation["vmms"][number]): [string, string][] {
  const { name, chosen, version, accelerator, findings, error } = vmm
  const what = [name, version, accelerator && `(${accelerator})`].filter(Boolean).join(" ")
  const why = findings.map(({ pointer, severity, reason }): [string, string] => [
    "",
    `${severity === "fatal" ? "cannot" : "not as asked"}: ${pointer}: ${reason}`,
  ])
  if (error) why.push(["", `${error.code}: ${error.message}`])
  const last = why.length === 0 && !chosen ? ", which is not needed" : ""
  return [[chosen ? "chosen" : "passed over", `${what}${last}`], ...why]
}
