import { accessSync, closeSync, constants, existsSync, openSync, statfsSync } from "node:fs"
import { dirname } from "node:path"
import { OvmError, toOvmError } from "../../errors.ts"
import { lock } from "../../host/lock.ts"
import { formatSize } from "../format.ts"
import type { Finding } from "./finding.ts"

/** Less than that is soon used up by one machine. */
const LITTLE_BYTES = 2 ** 30

/** A file without a name, which is gone once it is closed (open(2), O_TMPFILE). */
const NAMELESS = 0o20000000 | constants.O_DIRECTORY | constants.O_WRONLY
/** Of file systems that do not take it any more, and not of those that have no files without a name. */
const UNWRITABLE: ReadonlySet<unknown> = new Set(["EROFS", "EIO", "EUCLEAN"])

/** Whether there can be images and machines below `root`: rights, room, and locks. Nothing of it stays there. */
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
    tryToWrite(folder)
    return { check: "root", state: "ok", message: folder === root ? root : `${root} will be made` }
  } catch (thrown) {
    const message = `${folder} cannot be written to: ${toOvmError(thrown).message}`
    const fix = UNWRITABLE.has((thrown as NodeJS.ErrnoException).code)
      ? "its file system is mounted read-only, or the kernel has made it so after an error: dmesg tells, and fsck mends it"
      : "OVM_HOME=FOLDER, for a folder of your own"
    return { check: "root", state: "failure", message, fix }
  }
}

/** Rights are not asked of one that the kernel has made read-only after an error (ext4(5), errors=remount-ro). */
function tryToWrite(folder: string): void {
  try {
    closeSync(openSync(folder, NAMELESS, 0o600))
  } catch (thrown) {
    if (UNWRITABLE.has((thrown as NodeJS.ErrnoException).code)) throw thrown
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
