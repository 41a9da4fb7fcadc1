import { closeSync, constants, fstatSync, openSync, read, readSync } from "node:fs"
import { guardedSync } from "../content/guarded.ts"
import { OvmError, toOvmError } from "../errors.ts"

/** A disk file open for reading: every read is bounded by the file's size at the time it was opened. */
export interface DiskReader {
  readonly path: string
  /** Bytes. */
  readonly size: number
  /** Exactly `length` bytes from `at`; OVM_DISK_INVALID, naming `what`, if the file does not have them. */
  read(at: number, length: number, what: string): Promise<DataView>
}

/** The one way to refuse a disk: OVM_DISK_INVALID, naming the file and the reason (spec: DSK). */
export function invalid(path: string, reason: string): OvmError {
  return new OvmError("OVM_DISK_INVALID", `${path}: ${reason}`, { detail: { path, reason } })
}

/**
 * Opens `path`, which must be a regular file, for the time that `use` takes.
 * Throws OVM_FILE_UNREADABLE or OVM_PERMISSION_DENIED if it cannot be opened, OVM_DISK_INVALID if it is no file.
 */
export async function withDisk<T>(path: string, use: (disk: DiskReader) => Promise<T>): Promise<T> {
  // Non-blocking, so that a FIFO in the place of a disk cannot hold us.
  const fd = guardedSync(() => openSync(path, constants.O_RDONLY | constants.O_NONBLOCK))
  try {
    const stat = fstatSync(fd)
    if (!stat.isFile()) throw invalid(path, "is not a regular file")
    const readAt = async (at: number, length: number, what: string) => {
      if (at + length > stat.size) throw invalid(path, `${what} is truncated or lies outside the file`)
      const bytes = new Uint8Array(length)
      for (let done = 0; done < length; ) {
        const some = length <= AT_ONCE ? readSync : readSome
        const count = await some(fd, bytes, done, length - done, at + done)
        if (count === 0) throw invalid(path, `${what} is truncated: the file shrank while it was read`)
        done += count
      }
      return new DataView(bytes.buffer)
    }
    return await use({ path, size: stat.size, read: readAt })
  } catch (thrown) {
    throw toOvmError(thrown)
  } finally {
    closeSync(fd)
  }
}

/** Reads up to this size, in bytes, take less time than their way through the thread pool. */
const AT_ONCE = 4096

function readSome(
  fd: number,
  bytes: Uint8Array,
  offset: number,
  length: number,
  at: number,
): Promise<number> {
  return new Promise((resolve, reject) =>
    read(fd, bytes, offset, length, at, (error, count) => (error ? reject(error) : resolve(count))),
  )
}
