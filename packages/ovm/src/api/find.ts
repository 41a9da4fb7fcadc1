import { lstatSync, statSync } from "node:fs"
import { setTimeout as sleep } from "node:timers/promises"
import type { Call } from "../content/interfaces.ts"
import { OvmError } from "../errors.ts"
import { isLocked, lockHolder } from "../host/lock-holder.ts"
import type { Paths } from "../host/paths.ts"
import type { Runtime } from "../runtime/interfaces.ts"
import { connect, healthOf } from "./client.ts"

/**
 * How long a daemon that lives may be without a socket that leads to it, in ms. It looks each second (kept-socket.ts).
 */
const PATIENCE_MS = 10_000

export interface FindCall extends Call {
  readonly patienceMs?: number
}

/**
 * The runtime of the daemon that has this root, wherever its socket is; undefined if there is none. One that is
 * starting, or whose socket was removed, is waited for. Throws OVM_DAEMON_UNREACHABLE, with its pid, for one that does
 * not answer.
 */
export async function findRuntime(paths: Paths, call: FindCall = {}): Promise<Runtime | undefined> {
  for (const deadline = performance.now() + (call.patienceMs ?? PATIENCE_MS); ; await sleep(20)) {
    call.signal?.throwIfAborted()
    const socket = await socketOf(paths)
    if (socket !== undefined) return connect(socket)
    if (!isLocked(paths.lock)) return undefined
    if (performance.now() > deadline) throw unreachable(paths, `has no socket that leads to it`)
  }
}

/**
 * Where the link in the root leads. A daemon of an earlier version made no link: its socket is where this environment
 * has it, or nowhere.
 */
async function socketOf(paths: Paths): Promise<string | undefined> {
  for (const socket of new Set([paths.link, paths.socket])) {
    if (socket !== paths.link && !isMine(socket)) continue
    try {
      const health = await healthOf(socket)
      if (health && (await serves(socket, health.root, paths.root))) return socket
    } catch (cause) {
      if (!(cause instanceof OvmError && cause.code === "OVM_DAEMON_UNREACHABLE") || !isLocked(paths.lock))
        throw cause
      throw unreachable(paths, "did not answer in time", cause)
    }
  }
  return undefined
}

/**
 * True if the socket is this user's. Others may have put one where the environment says: it is not spoken to. What
 * cannot be looked at, such as in the folder of whoever ran `su`, is not mine either.
 */
function isMine(socket: string): boolean {
  try {
    return lstatSync(socket).uid === process.geteuid?.()
  } catch {
    return false
  }
}

/**
 * True if the daemon at `socket` has this root: two roots may have the same place for their sockets. `told` is the root
 * that it has named already, if it has.
 */
async function serves(socket: string, told: string | undefined, root: string): Promise<boolean> {
  const theirs = told ?? (await connect(socket).info()).root
  if (theirs === root) return true
  const [a, b] = [theirs, root].map((path) => statSync(path, { throwIfNoEntry: false }))
  return a !== undefined && a.dev === b?.dev && a.ino === b.ino
}

function unreachable({ root, lock }: Paths, what: string, cause?: unknown): OvmError {
  const pid = lockHolder(lock)
  return new OvmError(
    "OVM_DAEMON_UNREACHABLE",
    `the daemon of ${root}${pid === undefined ? "" : ` (pid ${pid})`} ${what}`,
    {
      cause,
      hint: `ovm daemon --stop${pid === undefined ? "" : `, or kill -9 ${pid}`}; machines outlive it`,
    },
  )
}
