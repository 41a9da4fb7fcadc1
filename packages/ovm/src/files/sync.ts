import { fsync } from "node:fs"
import { asyncFs } from "./async.ts"
import { writing } from "./writing.ts"

/** Makes renames into `path` survive a crash of the host. */
export async function syncDirectory(path: string): Promise<void> {
  await syncFile(path)
}

/** Makes what is in the file survive a crash of the host. Throws the system's error with `path` in it. */
export async function syncFile(path: string): Promise<void> {
  await writing(path, async () => {
    const handle = await asyncFs().open(path, "r")
    try {
      await handle.sync()
    } finally {
      await handle.close()
    }
  })
}

/**
 * Brings the open file to the disk. By hand: node:util, which would make a promise of it, takes longer to load than
 * that.
 */
export function synced(fd: number): Promise<void> {
  return new Promise((resolve, reject) => fsync(fd, (error) => (error ? reject(error) : resolve())))
}
