import { closeSync, fstatSync, read, readSync } from "node:fs"
import { OvmError, toOvmError } from "../errors.ts"
import { openRegularSync } from "../files/regular.ts"

/** A disk file open for reading: every read is bounded by the file's size at the time it was opened. */
export interface DiskReader {
  readonly path: string
  /** Bytes. */
  readonly size: number
  readonly fd: number
  /**
   * Exactly `length` bytes from `at`; OVM_DISK_INVALID, naming `what`, if the file does not have them. They are put
   * into `into`, if given, which has that length.
   */
  read(at: number, length: number, what: string, into?: Uint8Array<ArrayBuffer>): Promise<DataView>
  /** The same for what is little and to be had at once: all of `into`. */
  readNow(at: number, into: Uint8Array, what: string): void
}

/** The one way to refuse a disk: OVM_DISK_INVALID, naming the file and the reason (spec/disk.md). */
export function invalid(path: string, reason: string, hint?: string): OvmError {
  return new OvmError("OVM_DISK_INVALID", `${path}: ${reason}`, {
    detail: { path, reason },
    ...(hint !== undefined && { hint }),
  })
}

/**
 * Opens `path`, which must be a regular file, for the time that `use` takes.
 * Throws OVM_FILE_UNREADABLE if it cannot be opened or is no regular file, OVM_DISK_INVALID if it is shorter than it
 * must be.
 */
export async function withDisk<T>(path: string, use: (disk: DiskReader) => Promise<T>): Promise<T> {
  const fd = openRegularSync(path)
  try {
    const stat = fstatSync(fd)
    const assertThere = (at: number, length: number, what: string) => {
      if (at + length > stat.size) throw invalid(path, `${what} is truncated or lies outside the file`)
    }
    const some = (count: number, what: string) => {
      if (count === 0) throw invalid(path, `${what} is truncated: the file shrank while it was read`)
      return count
    }
    const readNow: DiskReader["readNow"] = (at, into, what) => {
      assertThere(at, into.length, what)
      for (let done = 0; done < into.length; )
        done += some(readSync(fd, into, done, into.length - done, at + done), what)
    }
    const readAt: DiskReader["read"] = async (at, length, what, into) => {
      assertThere(at, length, what)
      const bytes = into ?? new Uint8Array(length)
      if (length <= AT_ONCE) readNow(at, bytes, what)
      else
        for (let done = 0; done < length; )
          done += some(await readSome(fd, bytes.subarray(done), at + done), what)
      return new DataView(bytes.buffer, bytes.byteOffset, length)
    }
    return await use({ path, size: stat.size, fd, read: readAt, readNow })
  } catch (thrown) {
    throw toOvmError(thrown)
  } finally {
    closeSync(fd)
  }
}

/** Reads up to this size, in bytes, take less time than their way through the thread pool. */
const AT_ONCE = 4096

function readSome(fd: number, bytes: Uint8Array, position: number): Promise<number> {
  return new Promise((resolve, reject) =>
    read(fd, bytes, { position }, (error, count) => (error ? reject(error) : resolve(count))),
  )
}
