import { missingPrograms } from "../../network/named/programs.ts"
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

/** Whether root can make networks that machines share (docs/network.md); nobody else can. */
export function checkNetworks(): Finding[] {
  if (process.getuid?.() !== 0) return []
  const check = "networks"
  const { missing, packages } = missingPrograms()
  return missing.length === 0
    ? [{ check, state: "ok", message: "machines can share networks" }]
    : [
        {
          check,
          state: "warning",
          message: `machines cannot share networks without ${missing.join(", ")}`,
          fix: `apt-get install ${packages}`,
        },
      ]
}
