import { toOvmError } from "../../errors.ts"
import { lockHolder } from "../../host/lock-holder.ts"
import { paths } from "../../host/paths.ts"
import { VERSION } from "../../version.ts"
import { findDaemon } from "../daemon.ts"
import type { Finding } from "./finding.ts"

/** Whether the daemon answers, and is of this version. */
export async function checkDaemon(): Promise<Finding[]> {
  return [await daemon()]
}

async function daemon(): Promise<Finding> {
  const check = "daemon"
  try {
    const info = await (await findDaemon())?.info()
    if (!info)
      return { check, state: "ok", message: "not running; the first command that needs one starts it" }
    const message = `running, pid ${info.pid}, version ${info.version}`
    return info.version === VERSION
      ? { check, state: "ok", message }
      : { check, state: "warning", message, fix: "ovm daemon --stop: the next one is of this version" }
  } catch (thrown) {
    const pid = lockHolder(paths().lock)
    const fix = pid === undefined ? "ovm daemon --stop" : `kill -9 ${pid}; machines outlive it`
    return { check, state: "failure", message: toOvmError(thrown).message, fix }
  }
}
