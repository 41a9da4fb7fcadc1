import {
  chmodSync,
  chownSync,
  constants,
  copyFileSync,
  linkSync,
  realpathSync,
  rmSync,
  statSync,
} from "node:fs"
import { join } from "node:path"
import { OvmError } from "../../../errors.ts"
import { guardedSync } from "../../../files/guarded.ts"
import type { Jail } from "./place.ts"

/** Others may read. */
const READABLE = 0o004

/** Whether a file can be in a jail in `directory` as it is, for its user to read: under a second name. */
export function canLink(path: string, directory: string): boolean {
  const file = statSync(path, { throwIfNoEntry: false })
  if (!file?.isFile() || (file.mode & READABLE) === 0) return false
  return statSync(directory, { throwIfNoEntry: false })?.dev === file.dev
}

/**
 * Has the file `source` be in a jail as `name`, for its user to read: itself, or a copy. Throws what the system says.
 */
export function give(source: string, folder: string, name: string, { uid }: Jail): void {
  guardedSync(() => {
    const path = join(folder, name)
    const file = realpathSync(source)
    rmSync(path, { force: true })
    if (canLink(file, folder)) {
      linkSync(file, path)
      return
    }
    copyFileSync(file, path, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE)
    chownSync(path, uid, uid)
    chmodSync(path, 0o400)
  })
}

/**
 * The same of a file of this program's, which is too large to be copied and which many jails share: nobody gets to it
 * but through folders of this user's. Throws OVM_UNSUPPORTED for one of another file system, what the system says.
 */
export function share(source: string, folder: string, name: string): void {
  guardedSync(() => {
    const path = join(folder, name)
    const file = realpathSync(source)
    const { mode, dev } = statSync(file)
    if (statSync(folder).dev !== dev)
      throw new OvmError("OVM_UNSUPPORTED", `${file} is on another file system than the jail in ${folder}`, {
        hint: 'daemon.json: "jail": false',
      })
    if ((mode & READABLE) === 0) chmodSync(file, mode | READABLE)
    rmSync(path, { force: true })
    linkSync(file, path)
  })
}
