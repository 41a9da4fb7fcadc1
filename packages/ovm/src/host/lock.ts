import { closeSync, constants, openSync } from "node:fs"
import { setTimeout as sleep } from "node:timers/promises"
import { OvmError } from "../errors.ts"
import { flock, type LockMode, unlock } from "./libc.ts"

/** A held lock. Released by `release()`, by leaving a `using` block, or by the death of the process. */
export interface Lock extends Disposable {
  release(): void
}

export interface LockCall {
  readonly signal?: AbortSignal
  /** How long to wait for others, in milliseconds. */
  readonly timeoutMs?: number
  /** What is locked is there already: nothing is made, and it may be a folder. */
  readonly existing?: boolean
}

/** A named pipe in the place of the file, which can be locked as well, keeps nobody waiting. */
const EXISTING = constants.O_RDONLY | constants.O_NONBLOCK
const MADE = constants.O_RDWR | constants.O_CREAT | constants.O_NONBLOCK

/**
 * Locks the file `path`, which is made if absent and must never be deleted, against other processes and other
 * holders in this one. Throws OVM_STORE_BUSY naming the file after `timeoutMs` (10 s unless told), OVM_LOCK_UNSUPPORTED
 * at once.
 */
export async function lock(path: string, mode: LockMode, call: LockCall = {}): Promise<Lock> {
  const fd = openSync(path, call.existing ? EXISTING : MADE, 0o600)
  try {
    await wait(fd, path, mode, call)
  } catch (error) {
    closeSync(fd)
    throw error
  }
  return held(fd)
}

/** Locks `path`, which must exist, without waiting; undefined if someone holds it. Throws ENOENT if it is absent. */
export function tryLock(path: string, mode: LockMode): Lock | undefined {
  const fd = openSync(path, EXISTING)
  let taken = false
  try {
    taken = flock(fd, mode, path)
  } finally {
    if (!taken) closeSync(fd)
  }
  return taken ? held(fd) : undefined
}

// Polled, because a blocking flock would stop the whole event loop, its holder perhaps included.
async function wait(fd: number, path: string, mode: LockMode, call: LockCall): Promise<void> {
  const timeoutMs = call.timeoutMs ?? 10_000
  const started = performance.now()
  for (let pause = 1; !flock(fd, mode, path); pause = Math.min(pause * 2, 32)) {
    call.signal?.throwIfAborted()
    if (performance.now() - started > timeoutMs) throw busy(path, timeoutMs)
    await sleep(pause * (0.5 + Math.random()))
  }
}

function held(fd: number): Lock {
  let open = true
  const release = () => {
    if (!open) return
    open = false
    unlock(fd)
    closeSync(fd)
  }
  return { release, [Symbol.dispose]: release }
}

function busy(path: string, timeoutMs: number): OvmError {
  return new OvmError(
    "OVM_STORE_BUSY",
    `${path} was locked by another process for more than ${timeoutMs} ms`,
    {
      hint: "try again when the other command has ended",
    },
  )
}
