import { chmodSync, lstatSync, mkdirSync, statSync } from "node:fs"
import { dirname } from "node:path"
import { OvmError, toOvmError } from "../errors.ts"

/**
 * Makes the folder `path` one of this user's that nobody else can look into; the folder around it must be there. Throws
 * OVM_FILE_UNREADABLE and OVM_PERMISSION_DENIED.
 */
export function privateFolder(path: string): void {
  try {
    mkdirSync(path, { mode: 0o700 })
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code !== "EEXIST") throw toOvmError(thrown)
  }
  const found = statSync(path, { throwIfNoEntry: false })
  if (!found?.isDirectory()) throw new OvmError("OVM_FILE_UNREADABLE", `${path}: not a directory`)
  refuseAnothers(path)
  try {
    if ((found.mode & 0o7777) !== 0o700) chmodSync(path, 0o700)
  } catch (thrown) {
    throw toOvmError(thrown)
  }
}

/** Throws OVM_PERMISSION_DENIED for a folder of another user, in which nothing has been made or changed so far. */
export function refuseAnothers(path: string): void {
  const uid = statSync(path, { throwIfNoEntry: false })?.uid
  if (uid !== undefined && uid !== process.geteuid?.())
    throw new OvmError("OVM_PERMISSION_DENIED", `${path} is a folder of another user`)
}

/**
 * Throws OVM_PERMISSION_DENIED if others could put something of theirs in the place of the folder `path`: what is
 * around it belongs to somebody else, or everybody may rename there.
 */
export function refuseShared(path: string): void {
  const around = dirname(path)
  const { uid, mode } = statSync(around)
  const sticky = (mode & 0o1000) !== 0
  if ((uid !== 0 && uid !== process.geteuid?.()) || ((mode & 0o022) !== 0 && !sticky))
    throw new OvmError("OVM_PERMISSION_DENIED", `${around} can be written to by others`)
  if (lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink())
    throw new OvmError("OVM_PERMISSION_DENIED", `${path} is a symbolic link`)
}
