import { readdirSync, readFileSync, statSync } from "node:fs"
import { type Lock, tryLock } from "./lock.ts"

/**
 * True if a process holds the lock of the file `path`; false if none does, or there is no such file. Throws
 * OVM_LOCK_UNSUPPORTED.
 */
export function isLocked(path: string): boolean {
  let free: Lock | undefined
  try {
    free = tryLock(path, "shared")
    return free === undefined
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === "ENOENT" || code === "ENOTDIR") return false
    throw error
  } finally {
    free?.release()
  }
}

/**
 * Pid of who holds the file `path` locked alone, as far as the kernel tells (proc_locks(5)): it does not tell of other
 * containers' processes. The device in its list may be another than stat's, so what the process has open decides.
 */
export function lockHolder(path: string): number | undefined {
  try {
    const { dev, ino } = statSync(path)
    const locks = new RegExp(`FLOCK +ADVISORY +WRITE (\\d+) [0-9a-f]+:[0-9a-f]+:${ino} `, "g")
    const pids = [...readFileSync("/proc/locks", "utf8").matchAll(locks)].map(([, pid]) => Number(pid))
    return pids.find((pid) => hasOpen(pid, dev, ino))
  } catch {
    return undefined
  }
}

function hasOpen(pid: number, dev: number, ino: number): boolean {
  const folder = `/proc/${pid}/fd`
  return readdirSync(folder).some((fd) => {
    const found = statSync(`${folder}/${fd}`, { throwIfNoEntry: false })
    return found?.dev === dev && found.ino === ino
  })
}
