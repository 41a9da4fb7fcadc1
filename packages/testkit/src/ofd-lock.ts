import { dlopen, FFIType, ptr } from "bun:ffi"
import { closeSync, openSync } from "node:fs"

// fcntl(2) on x86-64 Linux.
const F_OFD_SETLK = 37
const F_RDLCK = 0

/**
 * What QEMU's block/file-posix.c takes to say that nobody else may do any of a hundred things: the second is to write.
 */
const NOBODY_ELSE_WRITES = 201

/**
 * Holds `path` as a program does that reads a disk image with QEMU's code (`qemu-img info`), until the function that it
 * gives is called: no QEMU can open it for writing meanwhile, or go on with one that it had let go.
 */
export function lockLikeQemu(path: string): () => void {
  const { symbols } = dlopen("libc.so.6", {
    fcntl: { args: [FFIType.i32, FFIType.i32, FFIType.ptr], returns: FFIType.i32 },
  })
  const lock = new DataView(new ArrayBuffer(32))
  lock.setInt16(0, F_RDLCK, true)
  lock.setBigInt64(8, BigInt(NOBODY_ELSE_WRITES), true)
  lock.setBigInt64(16, 1n, true)
  const file = openSync(path, "r+")
  if (symbols.fcntl(file, F_OFD_SETLK, ptr(lock.buffer)) !== 0) throw new Error(`${path} cannot be locked`)
  return () => closeSync(file)
}
