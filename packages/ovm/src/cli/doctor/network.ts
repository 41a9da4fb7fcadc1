import { findPasst } from "../../network/passt.ts"
import type { Finding } from "./finding.ts"

/** Whether guests can have a way out (docs/network.md). */
export function checkPasst(): Finding[] {
  const check = "network"
  const found = findPasst()
  return found === undefined
    ? [
        {
          check,
          state: "warning",
          message: "passt is not installed: ports lead into guests, and nothing leads out of them",
          fix: "apt-get install passt",
        },
      ]
    : [{ check, state: "ok", message: `passt (${found})` }]
}
