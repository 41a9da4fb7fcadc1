import { closeSync, openSync, readFileSync, readSync } from "node:fs"
import { join } from "node:path"
import { OvmError } from "../../errors.ts"
import { textIfPresent } from "../../files/present.ts"
import { bootId } from "../../host/boot-id.ts"
import { pidNamespace } from "../../host/pid-namespace.ts"
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

/** Linux's clock ticks a second, as proc(5) counts them; 100 on every x86 kernel. */
const TICKS = 100
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
  const text = pid === undefined ? "" : textOf(pid)
  if (pid === undefined || text === "") return undefined
  const startTime = Number(text.slice(text.lastIndexOf(")") + 2).split(" ")[START])
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
  const state = (await statOf(identity).catch(() => undefined))?.[STATE]
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
  const fields = await statOf(identity).catch(() => undefined)
  if (!fields) return undefined
  const ticks = Number(fields[UTIME]) + Number(fields[UTIME + 1])
  const cpuTime = Math.round((ticks * 1000) / TICKS)
  return { rss: Number(fields[RSS]) * PAGE, cpuTime, ...transfersOf(identity) }
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
  const session = Number((await statOf(identity).catch(() => undefined))?.[SESSION] ?? 0)
  return session > 0 ? session : undefined
}

// Positions after the command's name, which is field 2 and may hold anything, even ") ".
const STATE = 0
const SESSION = 3
const UTIME = 11
const START = 19
const RSS = 21

export function foreign({ pid, directory }: Identity): OvmError {
  return new OvmError(
    "OVM_VMM_UNREACHABLE",
    `process ${pid} in ${directory} is of another PID namespace, such as a container's`,
    { hint: "end it from there, or the container with it" },
  )
}

/** Undefined for a process that is gone. Throws what reading throws otherwise. */
async function statOf(identity: Identity): Promise<string[] | undefined> {
  if (isForeign(identity)) return undefined
  const text = textOf(identity.pid)
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ")
  // A zombie has ended: only its parent, the keeper, has not looked yet.
  if (text === "" || fields[STATE] === "Z" || fields[STATE] === "X") return undefined
  if (Number(fields[START]) !== identity.startTime || bootId() !== identity.bootId) return undefined
  return fields
}

/**
 * Synchronously: the kernel has it at hand, and two hundred machines would wait for turns of the thread pool. By hand,
 * since readFileSync asks for the size of what has none, and for an end that has come.
 */
function textOf(pid: number): string {
  try {
    const fd = openSync(`/proc/${pid}/stat`, "r")
    try {
      return LINE.toString("latin1", 0, readSync(fd, LINE, 0, LINE.length, 0))
    } finally {
      closeSync(fd)
    }
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === "ENOENT" || code === "ESRCH") return ""
    throw error
  }
}

/** 52 numbers and a name of up to 64 bytes. */
const LINE = Buffer.allocUnsafeSlow(2048)
