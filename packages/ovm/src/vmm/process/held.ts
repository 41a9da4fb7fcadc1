import { closeSync, constants, existsSync, openSync } from "node:fs"
import { join } from "node:path"
import { flock } from "../../host/libc.ts"
import { isLocked } from "../../host/lock-holder.ts"

/**
 * A file of the instance's directory that the VMM and its keeper hold locked for as long as they live, having
 * inherited it: the lock can be seen from other containers, whose pids are not ours, and a copy of the directory does
 * not have it (docs/design/0023-life-of-an-instance.md).
 */
export const HELD_FILE = "held"

/** Opens and locks it for a process that is about to inherit it; to be closed once that was spawned. */
export function holdFor(directory: string): { readonly fd: number } & Disposable {
  const path = join(directory, HELD_FILE)
  const fd = openSync(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o600)
  const hold = { fd, [Symbol.dispose]: () => closeSync(fd) }
  try {
    flock(fd, "exclusive", path)
    return hold
  } catch (error) {
    hold[Symbol.dispose]()
    throw error
  }
}

/**
 * Whether any process holds it; undefined where there is none, as in directories of earlier versions. Throws if it
 * cannot be looked at.
 */
export function isHeld(directory: string): boolean | undefined {
  const path = join(directory, HELD_FILE)
  return existsSync(path) ? isLocked(path) : undefined
}
