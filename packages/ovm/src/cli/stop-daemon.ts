import { setTimeout as sleep } from "node:timers/promises"
import { OvmError } from "../errors.ts"
import { isLocked, lockHolder } from "../host/lock-holder.ts"
import { paths } from "../host/paths.ts"
import { findDaemon } from "./daemon.ts"

const STOP_MS = 10_000

/**
 * Asks the daemon of this root to end, and waits for it; its machines go on running. Whoever holds the root's lock is
 * asked, whether its socket leads to it or not. Returns its pid, undefined if there was none. Throws OVM_DAEMON_RUNNING
 * for one that does not end.
 */
export async function stopDaemon(): Promise<number | undefined> {
  const { lock } = paths()
  const pid = isLocked(lock) ? (lockHolder(lock) ?? (await (await findDaemon())?.info())?.pid) : undefined
  if (pid === undefined) return undefined
  process.kill(pid, "SIGTERM")
  for (const deadline = Date.now() + STOP_MS; Date.now() < deadline; await sleep(20))
    if (!isLocked(lock)) return pid
  throw new OvmError("OVM_DAEMON_RUNNING", `the daemon (pid ${pid}) does not end`, {
    hint: `kill -9 ${pid}; machines outlive it`,
  })
}
