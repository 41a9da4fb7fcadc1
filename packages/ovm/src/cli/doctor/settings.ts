import { toOvmError } from "../../errors.ts"
import { hasEntry } from "../../files/present.ts"
import type { Paths } from "../../host/paths.ts"
import { readSettings } from "../../registry/transport/settings.ts"
import { readDaemonSettings } from "../../runtime/settings.ts"
import { loadPolicy } from "../../signing/policy/load.ts"
import type { Finding } from "./finding.ts"

/** Whether what the operator has written can be understood. */
export async function checkSettings(place: Paths): Promise<Finding[]> {
  return await Promise.all([
    checkFile("settings", place.settings, readDaemonSettings),
    checkFile("policy", place.policy, (path) => loadPolicy(path, new Map())),
    checkFile("registries", place.registries, readSettings),
  ])
}

async function checkFile(
  check: string,
  path: string,
  read: (path: string) => Promise<unknown>,
): Promise<Finding> {
  try {
    if (!hasEntry(path)) return { check, state: "ok", message: `none (${path})` }
    await read(path)
    return { check, state: "ok", message: path }
  } catch (thrown) {
    const { message, hint } = toOvmError(thrown)
    return { check, state: "failure", message, fix: hint ?? `mend ${path}` }
  }
}
