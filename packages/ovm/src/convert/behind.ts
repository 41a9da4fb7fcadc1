import { closeSync, fstatSync, openSync } from "node:fs"
import { writeBehind } from "../host/libc.ts"

/** Between two looks at how much there is. */
const LOOK_MS = 100

/**
 * Does `work`, which has another program write the file `path` from its begin to its end, and has the disk take what is
 * there meanwhile: who syncs it then waits for little. Nothing is promised by that.
 */
export async function writtenBehind<T>(path: string, work: () => Promise<T>): Promise<T> {
  let fd: number | undefined
  let at = 0
  const look = () => {
    try {
      fd ??= openSync(path, "r")
      const { size } = fstatSync(fd)
      if (size > at) writeBehind(fd, at, size - at)
      at = size
    } catch {
      // It is not there yet.
    }
  }
  const timer = setInterval(look, LOOK_MS)
  try {
    return await work()
  } finally {
    clearInterval(timer)
    if (fd !== undefined) closeSync(fd)
  }
}
