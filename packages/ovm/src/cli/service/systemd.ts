import { execFile } from "node:child_process"
import { promisify } from "node:util"
import { OvmError } from "../../errors.ts"
import type { Manager } from "./unit.ts"

const PATIENCE_MS = 60_000

/** Asks the manager of units. Throws OVM_HOST_FAILED with its words. */
export async function systemctl(manager: Manager, ...args: readonly string[]): Promise<void> {
  const all = [...(manager === "user" ? ["--user"] : []), ...args]
  try {
    await promisify(execFile)("systemctl", all, { timeout: PATIENCE_MS })
  } catch (cause) {
    const { code, stderr = "" } = cause as NodeJS.ErrnoException & { stderr?: string }
    const why = code === "ENOENT" ? "there is no systemd here" : stderr.trim() || String(cause)
    throw new OvmError("OVM_HOST_FAILED", `systemctl ${all.join(" ")}: ${why}`, {
      cause,
      hint: "ovm install-service --print shows the unit, for who starts services otherwise",
    })
  }
}
