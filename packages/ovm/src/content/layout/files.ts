import { fsync, openSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { asyncFs } from "../async-fs.ts"
import { type Digest, hexOf } from "../digest.ts"

/** Where things are in a layout. What OCI does not know of is in one folder, which other tools leave alone. */
export class LayoutFiles {
  readonly marker: string
  readonly index: string
  readonly blobs: string
  readonly lock: string
  readonly ingest: string
  readonly leases: string
  readonly verified: string

  constructor(readonly root: string) {
    this.marker = join(root, "oci-layout")
    this.index = join(root, "index.json")
    this.blobs = join(root, "blobs", "sha256")
    this.lock = join(root, "ovm", "lock")
    this.ingest = join(root, "ovm", "ingest")
    this.leases = join(root, "ovm", "leases")
    this.verified = join(root, "ovm", "verified")
  }

  blob(digest: Digest): string {
    return join(this.blobs, hexOf(digest))
  }
}

/** Makes renames into `path` survive a crash of the host. */
export async function syncDirectory(path: string): Promise<void> {
  const handle = await asyncFs().open(path, "r")
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** Brings the open file to the disk. By hand: node:util, which would make a promise of it, takes longer to load than that. */
export function synced(fd: number): Promise<void> {
  return new Promise((resolve, reject) => fsync(fd, (error) => (error ? reject(error) : resolve())))
}

/** True for the error of a file that is not there. */
export function isAbsent(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException).code
  return code === "ENOENT" || code === "ENOTDIR"
}

/** What `work` gives, or undefined if the file that it wants is not there. */
export async function ifPresent<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work
  } catch (error) {
    if (isAbsent(error)) return undefined
    throw error
  }
}

/** The text of a small file, read at once; undefined if it is not there. */
export function textIfPresent(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8")
  } catch (error) {
    if (isAbsent(error)) return undefined
    throw error
  }
}

/** The file, opened; undefined if it is not there. */
export function openIfPresent(path: string, flags: number): number | undefined {
  try {
    return openSync(path, flags)
  } catch (error) {
    if (isAbsent(error)) return undefined
    throw error
  }
}

/** Does `work`, which writes to the open file `path`: the system's own errors do not say to which. */
export async function writing<T>(path: string, work: () => T | Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    throw Object.assign(error as Error, { path })
  }
}
