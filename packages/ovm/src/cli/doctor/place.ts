import { accessSync, constants, existsSync, statfsSync } from "node:fs"
import { dirname } from "node:path"
import { OvmError, toOvmError } from "../../errors.ts"
import { lock } from "../../host/lock.ts"
import { formatSize } from "../format.ts"
import type { Finding } from "./finding.ts"

/** Less than that is soon used up by one machine. */
const LITTLE_BYTES = 2 ** 30

/** Whether there can be images and machines below `root`: rights, room, and locks. Nothing is made there. */
export async function checkPlace(root: string): Promise<Finding[]> {
  const folder = nearest(root)
  return [rights(root, folder), room(folder), await locks(folder)]
}

/** `path` or the first of the folders above it that is there. */
function nearest(path: string): string {
  return existsSync(path) ? path : nearest(dirname(path))
}

function rights(root: string, folder: string): Finding {
  try {
    accessSync(folder, constants.R_OK | constants.W_OK | constants.X_OK)
    return { check: "root", state: "ok", message: folder === root ? root : `${root} will be made` }
  } catch (thrown) {
    const message = `${folder} cannot be written to: ${toOvmError(thrown).message}`
    return { check: "root", state: "failure", message, fix: "OVM_HOME=FOLDER, for a folder of your own" }
  }
}

function room(folder: string): Finding {
  const { bavail, bsize } = statfsSync(folder)
  const left = bavail * bsize
  const message = `${formatSize(left)} left in ${folder}`
  return left < LITTLE_BYTES
    ? { check: "room", state: left === 0 ? "failure" : "warning", message, fix: "ovm prune --all" }
    : { check: "room", state: "ok", message }
}

/** The folder itself is locked for a moment: file systems that cannot lock say so. */
async function locks(folder: string): Promise<Finding> {
  try {
    const held = await lock(folder, "shared", { existing: true, timeoutMs: 0 })
    held.release()
  } catch (thrown) {
    const { code, message, hint } = toOvmError(thrown)
    if (thrown instanceof OvmError && code !== "OVM_STORE_BUSY")
      return { check: "locks", state: "failure", message, ...(hint && { fix: hint }) }
  }
  return { check: "locks", state: "ok", message: "files can be locked" }
}
