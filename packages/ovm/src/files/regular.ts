import { closeSync, constants, fstatSync, openSync, readSync, type Stats, statSync } from "node:fs"
import type { FileHandle } from "node:fs/promises"
import { OvmError, toOvmError } from "../errors.ts"
import { asyncFs } from "./async.ts"
import { named } from "./writing.ts"

// The one way to open a path that somebody else may have chosen: a request, an archive, an artifact, a setting
// (OVMS-SEC-045). What is no regular file is not even opened, since opening a device can do things; between the look
// and the opening it may have been swapped, hence no waiting, and a second look at what was opened.

const FLAGS = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY

/**
 * Opens a regular file for reading without ever waiting for anybody. Throws OVM_FILE_UNREADABLE, naming the file and
 * the reason, whatever it is that stands in the way.
 */
export async function openRegular(path: string): Promise<FileHandle> {
  let handle: FileHandle | undefined
  try {
    refuseOthers(path, await asyncFs().stat(path))
    handle = await asyncFs().open(path, FLAGS)
    refuseOthers(path, await handle.stat())
    return handle
  } catch (thrown) {
    await handle?.close()
    throw unreadable(path, thrown)
  }
}

/**
 * Opens as `openRegular` does, but synchronously: for files on this host's own disks that are too small for the way
 * through the thread pool. Gives a file descriptor.
 */
export function openRegularSync(path: string): number {
  let fd: number | undefined
  try {
    refuseOthers(path, statSync(path))
    fd = openSync(path, FLAGS)
    refuseOthers(path, fstatSync(fd))
    return fd
  } catch (thrown) {
    if (fd !== undefined) closeSync(fd)
    throw unreadable(path, thrown)
  }
}

/**
 * All bytes of a small regular file, `limit` of them at most. Throws OVM_TOO_LARGE above it, and OVM_FILE_UNREADABLE as
 * `openRegular` does and for a file that has not the size that it says: one that is written to, or that the kernel
 * makes up.
 */
export async function readRegular(path: string, limit: number): Promise<Uint8Array> {
  const handle = await openRegular(path)
  try {
    const { size } = await handle.stat()
    if (size > limit) throw aboveLimit(path, limit)
    // One byte more shows that there is more.
    const bytes = Buffer.alloc(size + 1)
    let length = 0
    while (length <= size) {
      const { bytesRead } = await handle.read(bytes, length, bytes.length - length, length)
      if (bytesRead === 0) break
      length += bytesRead
    }
    return whole(path, bytes, length)
  } catch (thrown) {
    throw unreadable(path, thrown)
  } finally {
    await handle.close()
  }
}

/** Reads as `readRegular` does, but synchronously; see `openRegularSync` for when that is right. */
export function readRegularSync(path: string, limit: number): Uint8Array {
  const fd = openRegularSync(path)
  try {
    return readOpenSync(path, fd, limit)
  } finally {
    closeSync(fd)
  }
}

/**
 * Reads as `readRegular` does, but synchronously and from the descriptor `fd`, which stays open. `path` is for
 * messages.
 */
export function readOpenSync(path: string, fd: number, limit: number): Uint8Array {
  try {
    const { size } = fstatSync(fd)
    if (size > limit) throw aboveLimit(path, limit)
    const bytes = Buffer.alloc(size + 1)
    let length = 0
    while (length <= size) {
      const read = readSync(fd, bytes, length, bytes.length - length, length)
      if (read === 0) break
      length += read
    }
    return whole(path, bytes, length)
  } catch (thrown) {
    throw unreadable(path, thrown)
  }
}

function whole(path: string, bytes: Uint8Array, length: number): Uint8Array {
  if (length === bytes.length - 1) return bytes.subarray(0, length)
  throw new OvmError(
    "OVM_FILE_UNREADABLE",
    `${path}: it changed while it was read, or has not the size that it says`,
  )
}

/** Throws OVM_FILE_UNREADABLE, saying what it is, for what is no regular file. */
export function refuseOthers(path: string, stat: Pick<Stats, "isFile">): void {
  if (!stat.isFile())
    throw new OvmError("OVM_FILE_UNREADABLE", `${path} is ${kindOf(stat as Stats)}, not a regular file`)
}

function kindOf(stat: Stats): string {
  if (stat.isDirectory()) return "a folder"
  if (stat.isFIFO()) return "a named pipe"
  if (stat.isSocket()) return "a socket"
  return "a device"
}

function aboveLimit(path: string, limit: number): OvmError {
  return new OvmError("OVM_TOO_LARGE", `${path} is above the limit of ${limit} bytes`, { detail: { limit } })
}

const REASONS: Readonly<Record<string, string>> = {
  EACCES: "permission denied",
  EPERM: "operation not permitted",
  ELOOP: "too many levels of symbolic links",
  ENAMETOOLONG: "the name is too long",
  EIO: "input/output error",
  EAGAIN: "it has nothing to read",
  EINVAL: "it cannot be read",
  ENXIO: "there is no such device",
  ESTALE: "the file has gone from its server",
  EOVERFLOW: "it is too large",
}

/** The system's error of a file that somebody named, as one that says which and why. */
export function unreadable(path: string, thrown: unknown): OvmError {
  const { code } = thrown as NodeJS.ErrnoException
  const reason = code === undefined ? undefined : REASONS[code]
  if (reason !== undefined)
    return new OvmError("OVM_FILE_UNREADABLE", `${path}: ${reason}`, { cause: thrown })
  return toOvmError(named(path, thrown))
}
