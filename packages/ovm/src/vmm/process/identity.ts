import { readFileSync } from "node:fs"
import { join } from "node:path"
import { OvmError } from "../../errors.ts"
import { textIfPresent } from "../../files/present.ts"
import { bootId } from "../../host/boot-id.ts"
import { pidNamespace } from "../../host/pid-namespace.ts"
import { isDefunct, type ProcessStat, processStat, TICKS } from "../../host/process-stat.ts"
import type { Usage } from "../machine.ts"
import { isHeld } from "./held.ts"
import { worksIn } from "./jailed.ts"
import { PID_FILE } from "./traces.ts"

/** A process that cannot be mistaken for a later one with the same pid, not even after the host restarted. */
export interface Identity {
  /** The instance's, which it works in. */
  readonly directory: string
  /** Where its pid counts; absent in records of earlier versions. */
  readonly pidNamespace?: string
  readonly bootId: string
  readonly pid: number
  /** Clock ticks since boot (proc(5), stat, field 22). */
  readonly startTime: number
}

const PAGE = 4096

/** What the keeper in `directory` started; undefined if it has not come so far. */
export async function startedIn(directory: string): Promise<Identity | undefined> {
  const text = textIfPresent(join(directory, PID_FILE)) ?? ""
  const [, pid, startTime, pidNamespace] = /^(\d+) (\d+)(?: (\d*))?\n$/.exec(text) ?? []
  if (!pid || !startTime) return undefined
  const named = pidNamespace ? { pidNamespace } : {}
  return { directory, bootId: bootId(), pid: Number(pid), startTime: Number(startTime), ...named }
}

/** Of a process that works for the machine in `directory`; undefined if it has ended. */
export function identityOf(directory: string, pid: number | undefined): Identity | undefined {
  const stat = pid === undefined ? undefined : processStat(pid)
  if (pid === undefined || !stat) return undefined
  const { startTime } = stat
  const pidNamespaceHere = pidNamespace()
  return {
    directory,
    bootId: bootId(),
    pid,
    startTime,
    ...(pidNamespaceHere && { pidNamespace: pidNamespaceHere }),
  }
}

/** False once it is certain that it is gone: what cannot be looked at just now, as without descriptors, may live. */
export async function isAlive(identity: Identity): Promise<boolean> {
  try {
    if (isForeign(identity)) return identity.bootId === bootId() && isHeld(identity.directory) !== false
    return await isThere(identity)
  } catch {
    return true
  }
}

/** As isAlive, of one that need not work in its directory: false for what cannot be looked at. */
export async function lives(identity: Identity): Promise<boolean> {
  return (await statOf(identity).catch(() => undefined)) !== undefined
}

/** Its pid is one of another container's: whether it lives can be seen, and nothing be done about it. */
export function isForeign({ pidNamespace: its }: Identity): boolean {
  return its !== undefined && its !== pidNamespace()
}

/** Throws what reading throws. */
async function isThere(identity: Identity): Promise<boolean> {
  return (await statOf(identity)) !== undefined && !isOfCopy(identity)
}

/** The process that lives is another directory's, of which this one is a copy. */
function isOfCopy({ directory, pid }: Identity): boolean {
  try {
    if (isHeld(directory) !== false) return false
    return !worksIn(pid, directory)
  } catch {
    return false
  }
}

/**
 * Whether it was stopped by a signal, or by a debugger: it lives and does nothing. What cannot be looked at just now is
 * not said to be.
 */
export async function isSuspended(identity: Identity): Promise<boolean> {
  const state = (await statOf(identity).catch(() => undefined))?.state
  return state === "T" || state === "t"
}

/**
 * Sends a signal, 9 unless given, to that very process. False if it is gone. Throws if that cannot be seen just now,
 * and OVM_VMM_UNREACHABLE if it is foreign.
 */
export async function kill(identity: Identity, signal: NodeJS.Signals = "SIGKILL"): Promise<boolean> {
  if (isForeign(identity) && (await isAlive(identity))) throw foreign(identity)
  if (!(await isThere(identity))) return false
  try {
    return process.kill(identity.pid, signal)
  } catch {
    return false
  }
}

/** What a process takes of the host: undefined if it is gone, or cannot be looked at. */
export async function usageOf(identity: Identity): Promise<Usage | undefined> {
  const stat = await statOf(identity).catch(() => undefined)
  if (!stat) return undefined
  const cpuTime = Math.round((stat.ticks * 1000) / TICKS)
  return { rss: stat.pages * PAGE, cpuTime, ...transfersOf(identity) }
}

/** Not every kernel counts them, nor lets everybody read that (proc(5), "/proc/pid/io"). */
function transfersOf({ pid }: Identity): Pick<Usage, "diskRead" | "diskWritten"> {
  let text = ""
  try {
    text = readFileSync(`/proc/${pid}/io`, "latin1")
  } catch {}
  const [read, written] = ["read_bytes", "write_bytes"].map((name) =>
    new RegExp(`^${name}: (\\d+)$`, "m").exec(text),
  )
  return read && written ? { diskRead: Number(read[1]), diskWritten: Number(written[1]) } : {}
}

/** The leader of its session, which is its keeper, by number; undefined if it is gone, or cannot be looked at. */
export async function keeperOf(identity: Identity): Promise<number | undefined> {
  const session = (await statOf(identity).catch(() => undefined))?.session ?? 0
  return session > 0 ? session : undefined
}

export function foreign({ pid, directory }: Identity): OvmError {
  return new OvmError(
    "OVM_VMM_UNREACHABLE",
    `process ${pid} in ${directory} is of another PID namespace, such as a container's`,
    { hint: "end it from there, or the container with it" },
  )
}

/** Undefined for a process that is gone. Throws what reading throws otherwise. */
async function statOf(identity: Identity): Promise<ProcessStat | undefined> {
  if (isForeign(identity)) return undefined
  const stat = processStat(identity.pid)
  // A zombie has ended: only its parent, the keeper, has not looked yet.
  if (!stat || isDefunct(stat)) return undefined
  if (stat.startTime !== identity.startTime || bootId() !== identity.bootId) return undefined
  return stat
}
