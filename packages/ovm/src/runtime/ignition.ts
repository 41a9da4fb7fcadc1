import { join } from "node:path"
import { readJson } from "../artifact/json.ts"
import { OvmError } from "../errors.ts"
import { replaceFile } from "../files/replace.ts"
import { isObject } from "../objects.ts"
import type { LaunchPlan } from "../vmm/plan.ts"
import type { LaunchRequest } from "./plan.ts"

/** In the instance's directory, for its user alone. */
const FILE = "ignition.json"
const LIMITS = { bytes: 48 << 10, depth: 64 }

/**
 * What Ignition in the guest is to be told (spec/first-boot.md, "Ignition"), and how it gets there. Throws
 * OVM_REQUEST_INVALID.
 */
export function ignitionFile(
  { directory, overrides }: LaunchRequest,
  ignition: string,
): { readonly planned: Pick<LaunchPlan, "ignition">; make(): Promise<void> } {
  const { config, ssh } = overrides
  const { ignition: _, ...others } = config ?? {}
  const beside = [...Object.keys(others), ...(ssh ? ["overrides.ssh"] : [])]
  if (beside.length > 0)
    throw new OvmError(
      "OVM_REQUEST_INVALID",
      `overrides.config.ignition stands alone, and there is ${beside.join(", ")} as well [OVMS-FBC-012]`,
    )
  const bytes = Buffer.from(ignition)
  const fault = faultOf(bytes)
  if (fault !== undefined)
    throw new OvmError("OVM_REQUEST_INVALID", `overrides.config.ignition: ${fault} [OVMS-FBC-012]`)
  const path = join(directory, FILE)
  return { planned: { ignition: { path } }, make: () => replaceFile(path, bytes, { mode: 0o600 }) }
}

/** Why Ignition would not take it for a configuration, as far as anybody but Ignition can tell. */
function faultOf(bytes: Uint8Array): string | undefined {
  const read = readJson(bytes, LIMITS)
  if ("fault" in read) return read.fault.message
  const about = isObject(read.value) ? read.value.ignition : undefined
  if (isObject(about) && typeof about.version === "string") return undefined
  return "it is no Ignition configuration: that is a JSON object with ignition.version (butane makes one of YAML)"
}
