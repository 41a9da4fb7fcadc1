import { spawn } from "node:child_process"
import {
  closeSync,
  constants,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readlinkSync,
  renameSync,
  statSync,
} from "node:fs"
import { setTimeout as sleep } from "node:timers/promises"
import { findRuntime } from "../api/find.ts"
import { refuseAnothers } from "../api/private-folder.ts"
import type { Call } from "../content/interfaces.ts"
import { OvmError, toOvmError } from "../errors.ts"
import { textIfPresent } from "../files/present.ts"
import { type Paths, paths } from "../host/paths.ts"
import type { Runtime } from "../runtime/interfaces.ts"
import { ownCommand, ownEnvironment } from "./self.ts"

/** How long a new daemon may take until it answers, in ms. */
const START_MS = 10_000
/** A log above this many bytes is put aside before a daemon is started. */
const LOG_LIMIT = 4 << 20
/** Exit status of OVM_DAEMON_RUNNING: someone else started one at the same moment. */
const LOST_THE_RACE = 8

/** The daemon of this root, if there is one. Throws OVM_DAEMON_UNREACHABLE for one that does not answer. */
export function findDaemon(call: Call = {}): Promise<Runtime | undefined> {
  return findRuntime(paths(), call)
}

/** Where the daemon of this root has its socket, or would make it. */
export function socketOf({ link, socket }: Paths): string {
  const found = lstatSync(link, { throwIfNoEntry: false })
  if (!found) return socket
  return found.isSymbolicLink() ? readlinkSync(link) : link
}

/**
 * The daemon of this root; if none answers, one is started. Throws OVM_DAEMON_UNREACHABLE with the last words of its
 * log.
 */
export async function useDaemon(call: Call = {}): Promise<Runtime> {
  return (await findDaemon(call)) ?? (await startDaemon(call))
}

/**
 * The daemon of this root as far as there is anything to ask it: where no instance is on record none is started, and
 * the answer is undefined. Machines outlive a daemon, so one that died is started again to see them.
 */
export async function useDaemonOfInstances(call: Call = {}): Promise<Runtime | undefined> {
  return (await findDaemon(call)) ?? (hasRecords(paths()) ? await startDaemon(call) : undefined)
}

/**
 * Starts a daemon, with these options, in a session of its own and returns when it answers. Throws
 * OVM_DAEMON_UNREACHABLE, and OVM_PERMISSION_DENIED for a root of another user.
 */
export async function startDaemon(call: Call = {}, options: readonly string[] = []): Promise<Runtime> {
  const place = paths()
  mkdirSync(place.root, { recursive: true, mode: 0o700 })
  // Its log, made by root, would keep the folder's user out of it.
  refuseAnothers(place.root)
  const log = openLog(place.log)
  const before = sizeOf(place.log)
  const { file, args } = ownCommand("daemon", ...options)
  const child = spawn(file, args, {
    detached: true,
    cwd: "/",
    env: ownEnvironment(),
    stdio: ["ignore", log, log],
  })
  if (log !== "ignore") closeSync(log)
  child.unref()
  let ended: number | string | undefined
  child.on("error", (error) => {
    ended = error.message
  })
  child.on("exit", (status, signal) => {
    ended = status ?? signal ?? undefined
  })
  for (const deadline = Date.now() + START_MS; Date.now() < deadline; ) {
    call.signal?.throwIfAborted()
    const found = await findDaemon(call)
    if (found) return found
    if (ended !== undefined && ended !== LOST_THE_RACE) break
    await sleep(10)
  }
  const reason = ended === undefined ? `did not answer within ${START_MS / 1000} s` : "ended at once"
  throw new OvmError(
    "OVM_DAEMON_UNREACHABLE",
    [`the daemon ${reason}`, ...lastWords(place.log, before)].join("\n"),
    {
      hint: `look into ${place.log}, or run \`ovm daemon\` in another terminal`,
    },
  )
}

function hasRecords(place: Paths): boolean {
  try {
    return readdirSync(place.instances).length > 0
  } catch (thrown) {
    const error = toOvmError(thrown)
    if (error.code === "OVM_FILE_UNREADABLE") return false // There is no such folder yet.
    throw error
  }
}

/**
 * A daemon without a log, as where its disk has no room for one, is better than none: ending and removing need it.
 * Throws for a root that can only be read, where there can be none, and nowhere to say so.
 */
function openLog(log: string): number | "ignore" {
  try {
    if (sizeOf(log) > LOG_LIMIT) renameSync(log, `${log}.1`)
    return openSync(
      log,
      constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NONBLOCK,
      0o600,
    )
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === "EROFS") throw toOvmError(thrown)
    return "ignore"
  }
}

function sizeOf(log: string): number {
  return statSync(log, { throwIfNoEntry: false })?.size ?? 0
}

function lastWords(log: string, from: number): readonly string[] {
  const text = Buffer.from(textIfPresent(log) ?? "")
    .subarray(from)
    .subarray(-2000)
    .toString()
  return text.split("\n").filter(Boolean).slice(-5)
}
