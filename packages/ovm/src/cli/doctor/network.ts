import { missingPrograms } from "../../network/named/programs.ts"
import { findPasst } from "../../network/passt.ts"
import { isStranded } from "../../network/way-out.ts"
import type { Network } from "../../runtime/interfaces.ts"
import { findDaemon } from "../daemon.ts"
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
    : [{ check, state: "ok", message: `passt (${found})` }, ...wayOut()]
}

function wayOut(): Finding[] {
  if (!isStranded()) return []
  const message =
    "this host has no way out (a default route): ports lead into guests, which connect to nobody"
  return [{ check: "network", state: "warning", message }]
}

/** Whether root can make networks that machines share (docs/network.md), nobody else can; and whether those work. */
export async function checkNetworks(): Promise<Finding[]> {
  return [...possible(), ...(await degraded()).map(finding)]
}

/** As a daemon knows them; of one that does not answer the rest is said elsewhere (checkDaemon). */
async function degraded(): Promise<readonly Network[]> {
  try {
    return ((await (await findDaemon())?.networks()) ?? []).filter((network) => network.degraded)
  } catch {
    return []
  }
}

function finding({ name, error }: Network): Finding {
  const check = "networks"
  return error
    ? { check, state: "failure", message: `${name} does not work: ${error.message}` }
    : {
        check,
        state: "warning",
        message: `something of ${name} has ended or stands still, and is being mended`,
      }
}

function possible(): Finding[] {
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
