import { writeSync } from "node:fs"

/**
 * Writes all of `bytes` synchronously: at byte `at` of the open file, or where it stands. In a loop, since the system
 * may take less than it is given.
 */
export function writeNow(fd: number, bytes: Uint8Array, at?: number): void {
  for (let done = 0; done < bytes.byteLength; )
    done += writeSync(fd, bytes, done, bytes.byteLength - done, at === undefined ? null : at + done)
}

/** Does `work` on the file `path`: the system's own errors do not say on which, or name a temporary one. */
export async function writing<T>(path: string, work: () => T | Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    throw named(path, error)
  }
}

/** The system's error `thrown`, with `path` as the file that it is about. Others are left alone. */
export function named(path: string, thrown: unknown): unknown {
  return thrown instanceof Error && "syscall" in thrown ? Object.assign(thrown, { path }) : thrown
}
