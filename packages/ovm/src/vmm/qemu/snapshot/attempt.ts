import { rm } from "node:fs/promises"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { OvmError, toOvmError } from "../../../errors.ts"
import { type Attempt, forgetAttempt, overlaysOf } from "../../process/attempt.ts"
import { IDLE, migrationStatus, waitForMigration } from "../migration/progress.ts"
import { SNAPSHOT_SOCKET } from "../migration/receiver.ts"
import type { Qmp } from "../qmp.ts"
import { HOPELESS } from "../watch.ts"
import { revert } from "./revert.ts"

const CANCEL_MS = 10_000
/** Between two times that a cancelled migration is told to go on. */
const TELL_MS = 50
const FINISH_MS = 5000
/** Between two looks whether a lock is gone. */
const LOCK_MS = 10

/**
 * Brings the machine back to where it was before `attempt`, wherever that stopped, and removes its files. The note
 * stays if that fails, for `adopt` to try again. Throws OVM_VMM_FAILED or OVM_VMM_TIMEOUT.
 */
export async function takeBack(qmp: Qmp, attempt: Attempt): Promise<void> {
  const { directory, files, running } = attempt
  await cancelMigration(qmp)
  if (running) {
    // After a cancelled migration QEMU goes on by itself; after a completed one, or if it was never told to stop, it
    // does not.
    const state = await runState(qmp)
    if (state !== "running" && !(state in HOPELESS)) await letRun(qmp)
  } else await leavePostmigrate(qmp)
  // One after the other, and always in this order: there is one job at a time, and one that was begun is the first's.
  for (const overlay of overlaysOf(attempt)) await revert(qmp, overlay)
  for (const path of [...files, join(directory, SNAPSHOT_SOCKET)]) await rm(path, { force: true })
  await forgetAttempt(directory)
}

/**
 * Ends a migration, if there is one under way. QEMU 7.2 loses a cancellation that comes just before `pre-switchover`:
 * its thread then waits to be told to go on, in a state that is `cancelling` already (migration_maybe_pause() in
 * migration.c). So it is told; nothing else waits for that. Throws OVM_VMM_FAILED or OVM_VMM_TIMEOUT.
 */
async function cancelMigration(qmp: Qmp): Promise<void> {
  if (IDLE.has((await migrationStatus(qmp)).status)) return
  await qmp.execute("migrate_cancel")
  // It says no where the migration has ended meanwhile.
  const telling = setInterval(
    () => qmp.execute("migrate-continue", { state: "cancelling" }).catch(() => {}),
    TELL_MS,
  )
  try {
    await waitForMigration(qmp, [...IDLE], { timeoutMs: CANCEL_MS })
  } finally {
    clearInterval(telling)
  }
}

/** The machine is gone: only files are left. What the guest has written to is not touched. */
export async function removeFiles({ directory, files }: Attempt): Promise<void> {
  for (const path of [...files, join(directory, SNAPSHOT_SOCKET)])
    await rm(path, { force: true }).catch(() => {})
}

/**
 * A paused machine is left in `postmigrate` by a migration, with its disks let go and no way into another one. QEMU
 * knows no way back but to let the guest run: for less than a millisecond, both commands being sent at once.
 */
export async function leavePostmigrate(qmp: Qmp): Promise<void> {
  if ((await finished(qmp)) !== "postmigrate") return
  await Promise.all([qmp.execute("cont"), qmp.execute("stop")])
}

/**
 * `cont`, as soon as QEMU takes it: a migration says `completed` or `cancelled` some µs before the machine is let go.
 * `patienceMs`: how long somebody else's lock on a disk is waited for, as that of a program that only has a look at it.
 */
export async function letRun(qmp: Qmp, patienceMs = 0): Promise<void> {
  const deadline = performance.now() + patienceMs
  for (let waited = false; ; ) {
    // As a rule QEMU takes it at the first try, before anything is asked: the guest stands still.
    const refused = await qmp.execute("cont").then(() => undefined, toOvmError)
    if (!refused) return
    const locked = isLocked(refused)
    if (locked ? performance.now() > deadline : waited) throw refused
    if (locked) await sleep(LOCK_MS)
    else await finished(qmp)
    waited ||= !locked
  }
}

/** QEMU's words for a file that another process holds a lock on (block/file-posix.c). */
function isLocked({ message }: OvmError): boolean {
  return /Failed to (get|lock)|another process using/i.test(message)
}

/** The state after a migration, which may still be about to end. */
async function finished(qmp: Qmp): Promise<string> {
  const deadline = performance.now() + FINISH_MS
  for (;;) {
    const state = await runState(qmp)
    if (state !== "finish-migrate" || performance.now() > deadline) return state
    await sleep(1)
  }
}

/** qapi/run-state.json, RunState. */
export async function runState(qmp: Qmp): Promise<string> {
  const { status } = (await qmp.execute("query-status")) as { readonly status?: unknown }
  return String(status)
}

/**
 * What a failure with this version of QEMU is to say besides: its stream may have what ours has not (splitter.ts
 * refuses that).
 */
export function untriedNote(version: string): string {
  return /^(7\.2|10\.0)(\.|$)/.test(version)
    ? ""
    : ` (this is QEMU ${version}; snapshots have been tried with 7.2 and 10.0 only)`
}

/** Says of an error what a snapshot adds to it, keeping its code. */
export function snapshotError(thrown: unknown, more = ""): OvmError {
  const error = toOvmError(thrown)
  const { detail, message } = error
  const locked = isLocked(error)
  const hint = locked ? "another program has the machine's disk open: let it end, then try again" : error.hint
  return new OvmError(locked ? "OVM_STATE_CONFLICT" : error.code, `the snapshot failed: ${message}${more}`, {
    cause: error,
    ...(detail === undefined ? {} : { detail }),
    ...(hint === undefined ? {} : { hint }),
  })
}
