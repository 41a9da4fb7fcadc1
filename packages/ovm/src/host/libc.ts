import { dlopen, type Pointer, ptr, read } from "bun:ffi"
import { closeSync, openSync, rmSync, writeSync } from "node:fs"
import { join } from "node:path"
import { OvmError } from "../errors.ts"

// Calls of Linux that neither Node nor Bun has, asked of the C library. flock(2) and not a lock file with a pid:
// the kernel lets go when the process dies, however it dies.

export type LockMode = "shared" | "exclusive"

const LOCK_SH = 1
const LOCK_EX = 2
const LOCK_NB = 4
const LOCK_UN = 8
const EINTR = 4
const EAGAIN = 11
const F_SETFL = 4
/** ENOLCK, ENOSYS, EOPNOTSUPP: NFS without its lock service, some FUSE and cluster file systems. */
const UNLOCKABLE: ReadonlySet<number> = new Set([37, 38, 95])
const FICLONE = 0x40049409
const SEEK_DATA = 3
const SEEK_HOLE = 4
const POSIX_FADV_WILLNEED = 3
const SYNC_FILE_RANGE_WRITE = 2
const FALLOC_FL_KEEP_SIZE = 1
const FALLOC_FL_PUNCH_HOLE = 2
const TCIFLUSH = 0
const MFD_CLOEXEC = 1
const MFD_ALLOW_SEALING = 2
const MFD_EXEC = 0x10
const F_ADD_SEALS = 1033
/** Against more of them, shrinking, growing, writing. */
const EVERY_SEAL = 0xf
/** Of a descriptor that no other process gets which is started meanwhile (open(2), socket(2)). */
export const O_CLOEXEC = 0o2000000
const AF_UNIX = 1
const AF_INET = 2
const AF_INET6 = 10
const SOCK_STREAM = 1
const SOCK_DGRAM = 2
const SOCK_NONBLOCK = 0o4000
/** The same on every architecture. */
const SYS_PIDFD_OPEN = 434
const SYS_PIDFD_GETFD = 438
const LIBRARIES = ["libc.so.6", "libc.musl-x86_64.so.1", "libc.musl-aarch64.so.1"]

let library: ReturnType<typeof open> | undefined

/**
 * Takes the lock of the open file `path` without waiting; false if another one holds it. Throws OVM_LOCK_UNSUPPORTED,
 * naming the file, where the file system has no locks: waiting would not help.
 */
export function flock(fd: number, mode: LockMode, path: string): boolean {
  library ??= open()
  if (library.flock(fd, (mode === "shared" ? LOCK_SH : LOCK_EX) | LOCK_NB) === 0) return true
  // Nothing comes between, so it is still that of the call (errno(3)).
  const error = read.i32(library.__errno_location() as Pointer, 0)
  if (error === EAGAIN || error === EINTR) return false
  throw new OvmError("OVM_LOCK_UNSUPPORTED", `${path} cannot be locked: ${nameOf(error)}`, {
    hint:
      "keep ovm's data where flock(2) works, such as ext4, xfs, btrfs, tmpfs, or NFS with its lock service: " +
      "OVM_HOME=FOLDER; `df -T` names the file system",
  })
}

/**
 * Two descriptors of sockets that are connected to each other (socketpair(2)), to be closed by the caller; no child
 * process inherits them unless it is given one. Throws OVM_TOO_MANY where this process has no descriptor left.
 */
export function socketPair(): readonly [number, number] {
  library ??= open()
  const pair = new Int32Array(2)
  if (library.socketpair(AF_UNIX, SOCK_STREAM | O_CLOEXEC, 0, pair) === 0)
    return [pair[0] ?? -1, pair[1] ?? -1]
  throw new OvmError("OVM_TOO_MANY", "this process has no file descriptor left for a machine's network")
}

/**
 * A descriptor that is connected to the Unix socket `path`, of 107 bytes at most, to be closed by the caller; no child
 * process inherits it unless it is given it, and nothing waits for the other side until `waits` is asked for. Undefined
 * where nobody listens. Throws OVM_TOO_MANY where this process has no descriptor left, OVM_HOST_FAILED where whoever
 * listens takes no connection just now.
 */
export function unixConnection(path: string): number | undefined {
  library ??= open()
  const fd = library.socket(AF_UNIX, SOCK_STREAM | O_CLOEXEC | SOCK_NONBLOCK, 0)
  if (fd < 0) throw new OvmError("OVM_TOO_MANY", "this process has no file descriptor left for a connection")
  const address = addressOf(path)
  if (library.connect(fd, address, address.length) === 0) return fd
  const busy = read.i32(library.__errno_location() as Pointer, 0) === EAGAIN
  closeSync(fd)
  if (!busy) return undefined
  throw new OvmError("OVM_HOST_FAILED", `${path} takes no connection just now`)
}

function addressOf(path: string): Buffer {
  return Buffer.concat([new Uint8Array(new Uint16Array([AF_UNIX]).buffer), Buffer.from(`${path}\0`)])
}

/**
 * Whether this host has a route to the address, of 4 or 16 bytes, and something to send from (connect(2) of UDP);
 * nothing is sent.
 */
export function hasRoute(address: readonly number[]): boolean {
  library ??= open()
  const v6 = address.length > 4
  const [family, before, after] = v6 ? [AF_INET6, 4, 4] : [AF_INET, 0, 8]
  const fd = library.socket(family, SOCK_DGRAM | O_CLOEXEC, 0)
  if (fd < 0) return false
  const port = [0, 53]
  const to = [...port, ...Array(before).fill(0), ...address, ...Array(after).fill(0)]
  const bytes = Buffer.concat([new Uint8Array(new Uint16Array([family]).buffer), Buffer.from(to)])
  const found = library.connect(fd, bytes, bytes.length) === 0
  closeSync(fd)
  return found
}

/**
 * A Unix socket that listens, and one that is connected to it already, both to be closed by the caller; no child
 * process inherits either unless it is given it. For whoever is served by one that insists on accepting: nobody else
 * can connect, for there is no name of it any more. `folder` is one that only this user gets into. Throws
 * OVM_TOO_MANY, OVM_HOST_FAILED.
 */
export function listeningPair(folder: string): readonly [number, number] {
  library ??= open()
  const name = `listening-${crypto.randomUUID()}`
  // A path of the kernel's, since an address has 107 bytes.
  const at = openSync(folder, "r")
  const listener = library.socket(AF_UNIX, SOCK_STREAM | O_CLOEXEC, 0)
  try {
    if (listener < 0)
      throw new OvmError("OVM_TOO_MANY", "this process has no file descriptor left for a connection")
    const path = `/proc/self/fd/${at}/${name}`
    const address = addressOf(path)
    if (library.bind(listener, address, address.length) !== 0 || library.listen(listener, 1) !== 0)
      throw new OvmError("OVM_HOST_FAILED", `no socket could be made in ${folder}`)
    const connected = unixConnection(path)
    if (connected === undefined)
      throw new OvmError("OVM_HOST_FAILED", `no connection could be made in ${folder}`)
    waits(connected)
    return [listener, connected]
  } catch (thrown) {
    if (listener >= 0) closeSync(listener)
    throw thrown
  } finally {
    closeSync(at)
    rmSync(join(folder, name), { force: true })
  }
}

/** Reading and writing of the open file wait for the other side (fcntl(2), O_NONBLOCK). */
export function waits(fd: number): void {
  library ??= open()
  library.fcntl(fd, F_SETFL, 0)
}

/** In words; node:os is loaded here, since it is hardly ever wanted. */
function nameOf(error: number): string {
  const { errno } = process.getBuiltinModule("node:os").constants
  const name = Object.entries(errno).find(([, value]) => value === error)?.[0]
  return UNLOCKABLE.has(error) ? `its file system does not support it (${name})` : (name ?? `errno ${error}`)
}

/**
 * Lets go of the lock without delay. Closing alone does not, while a child process that was just forked has the file
 * open as well.
 */
export function unlock(fd: number): void {
  library ??= open()
  library.flock(fd, LOCK_UN)
}

/**
 * Makes the file `to` share all blocks of the file `from`, at once; false where the file system cannot
 * (ioctl_ficlone(2)).
 */
export function shareBlocks(from: number, to: number): boolean {
  library ??= open()
  return library.ioctl(to, FICLONE, from) === 0
}

/** Asks the device that is open for something; what it says is in `argument` then. False if it refuses (ioctl(2)). */
export function ioctl(fd: number, request: number, argument: Uint8Array): boolean {
  library ??= open()
  return library.ioctl(fd, request, ptr(argument)) === 0
}

/** The same for what takes a number. */
export function ioctlNumber(fd: number, request: number, argument: number): boolean {
  library ??= open()
  return library.ioctl(fd, request, argument) === 0
}

/** Makes a named pipe (mkfifo(3)), for this user alone; false where that cannot be. */
export function makePipe(path: string): boolean {
  library ??= open()
  return library.mkfifo(Buffer.from(`${path}\0`), 0o600) === 0
}

/**
 * The descriptor `fd` of the process `pid`, as one of this process, to be closed by the caller (pidfd_getfd(2), since
 * Linux 5.6); undefined where that is not allowed, or not there.
 */
export function descriptorOf(pid: number, fd: number): number | undefined {
  library ??= open()
  const process = Number(library.syscall(SYS_PIDFD_OPEN, pid, 0, 0))
  if (process < 0) return undefined
  const found = Number(library.syscall(SYS_PIDFD_GETFD, process, fd, 0))
  closeSync(process)
  return found < 0 ? undefined : found
}

/**
 * Where the next data of the open file begins, at or after byte `at` (lseek(2)); -1 if there is none, or the file
 * system does not say.
 */
export function nextData(fd: number, at: number): number {
  library ??= open()
  return Number(library.lseek(fd, at, SEEK_DATA))
}

/**
 * Where the next hole begins, at or after byte `at`; the end of the file counts as one. -1 if the file system does not
 * say.
 */
export function nextHole(fd: number, at: number): number {
  library ??= open()
  return Number(library.lseek(fd, at, SEEK_HOLE))
}

/**
 * Has the kernel begin to read these bytes of the open file into memory (posix_fadvise(2)); what it makes of that is
 * its own affair.
 */
export function readAhead(fd: number, at: number, length: number): void {
  library ??= open()
  library.posix_fadvise(fd, at, length, POSIX_FADV_WILLNEED)
}

/**
 * Has the kernel begin to write these bytes of the open file to the disk (sync_file_range(2)), so that there is less to
 * wait for later. Nothing is promised: only fsync(2) says that they are there, or why not.
 */
export function writeBehind(fd: number, at: number, length: number): void {
  library ??= open()
  library.sync_file_range(fd, at, length, SYNC_FILE_RANGE_WRITE)
}

/**
 * Has the file system set these bytes of the open file aside, without making the file longer (fallocate(2)). Nothing is
 * promised: one that cannot, or has no room, says so when they are written.
 */
export function reserve(fd: number, at: number, length: number): void {
  library ??= open()
  library.fallocate(fd, FALLOC_FL_KEEP_SIZE, at, length)
}

/**
 * Makes these bytes of the open file, none of them behind its end, a hole (fallocate(2)); false where the file system
 * cannot.
 */
export function punch(fd: number, at: number, length: number): boolean {
  library ??= open()
  return library.fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at, length) === 0
}

/**
 * An open file in memory without a path, with these bytes, which nobody can change any more (memfd_create(2)); it may
 * be executed. `name` is what the kernel shows for it. Throws OVM_HOST_FAILED.
 */
export function sealedFile(name: string, bytes: Uint8Array): number {
  const fd = memoryFile(name)
  for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at)
  library?.fcntl(fd, F_ADD_SEALS, EVERY_SEAL)
  return fd
}

/** The same, empty, for whoever has it to write to. */
export function memoryFile(name: string): number {
  library ??= open()
  const text = Buffer.from(`${name}\0`)
  // Kernels before 6.3 do not know the last of them, and need not be told.
  let fd = library.memfd_create(text, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC)
  if (fd < 0) fd = library.memfd_create(text, MFD_CLOEXEC | MFD_ALLOW_SEALING)
  if (fd < 0) {
    const why = nameOf(read.i32(library.__errno_location() as Pointer, 0))
    throw new OvmError("OVM_HOST_FAILED", `no file in memory could be made: ${why}`)
  }
  return fd
}

/** Drops what was typed on the terminal `fd` and nobody has read (tcflush(3)). */
export function dropTyped(fd: number): void {
  library ??= open()
  library.tcflush(fd, TCIFLUSH)
}

function open() {
  for (const name of LIBRARIES) {
    try {
      return dlopen(name, {
        flock: { args: ["i32", "i32"], returns: "i32" },
        __errno_location: { args: [], returns: "ptr" },
        lseek: { args: ["i32", "i64", "i32"], returns: "i64" },
        posix_fadvise: { args: ["i32", "i64", "i64", "i32"], returns: "i32" },
        sync_file_range: { args: ["i32", "i64", "i64", "u32"], returns: "i32" },
        fallocate: { args: ["i32", "i32", "i64", "i64"], returns: "i32" },
        memfd_create: { args: ["ptr", "u32"], returns: "i32" },
        tcflush: { args: ["i32", "i32"], returns: "i32" },
        fcntl: { args: ["i32", "i32", "i32"], returns: "i32" },
        socket: { args: ["i32", "i32", "i32"], returns: "i32" },
        connect: { args: ["i32", "ptr", "u32"], returns: "i32" },
        bind: { args: ["i32", "ptr", "u32"], returns: "i32" },
        listen: { args: ["i32", "i32"], returns: "i32" },
        socketpair: { args: ["i32", "i32", "i32", "ptr"], returns: "i32" },
        ioctl: { args: ["i32", "u64", "u64"], returns: "i32" },
        mkfifo: { args: ["ptr", "u32"], returns: "i32" },
        syscall: { args: ["i64", "i64", "i64", "i64"], returns: "i64" },
      }).symbols
    } catch {
      // The next name is tried; the error below says that none was there.
    }
  }
  throw new OvmError("OVM_INTERNAL", `no C library could be opened: tried ${LIBRARIES.join(", ")}`)
}
