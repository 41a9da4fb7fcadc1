import { closeSync, openSync, readdirSync, readSync } from "node:fs"

/** What the kernel says of a process in one line (proc(5), /proc/pid/stat). */
export interface ProcessStat {
  /** Of its program, up to 15 characters of any kind. */
  readonly name: string
  /** A letter; `Z` and `X` of one that has ended, at which only its parent has not looked yet. */
  readonly state: string
  readonly group: number
  readonly session: number
  /** Of the terminal that it is controlled by; 0 if by none. */
  readonly terminal: number
  /** In user and kernel mode, in clock ticks. */
  readonly ticks: number
  /** Clock ticks since the host's boot: with the pid it names this process and no later one. */
  readonly startTime: number
  /** Resident memory, in pages. */
  readonly pages: number
}

/** Linux's clock ticks a second, as proc(5) counts them; 100 on every x86 kernel. */
export const TICKS = 100

/** 52 numbers and a name of up to 64 bytes. */
const LINE = Buffer.allocUnsafeSlow(2048)

/**
 * Undefined for a process that is gone. Throws what reading throws otherwise.
 *
 * Synchronously: the kernel has it at hand, and two hundred machines would wait for turns of the thread pool. By hand,
 * since readFileSync asks for the size of what has none, and for an end that has come.
 */
export function processStat(pid: number | "self"): ProcessStat | undefined {
  const text = lineOf(pid)
  // The name may hold anything, even ") ": what follows it are letters and numbers.
  const end = text.lastIndexOf(")")
  if (end < 0) return undefined
  const fields = text.slice(end + 2).split(" ")
  const number = (position: number) => Number(fields[position - 3])
  return {
    name: text.slice(text.indexOf("(") + 1, end),
    state: fields[0] ?? "",
    group: number(5),
    session: number(6),
    terminal: number(7),
    ticks: number(14) + number(15),
    startTime: number(22),
    pages: number(24),
  }
}

/** Those of all processes that this one sees. Throws what reading /proc throws. */
export function pids(): readonly number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
}

/** True of one that is named still until its parent has looked. */
export function isDefunct({ state }: ProcessStat): boolean {
  return state === "Z" || state === "X"
}

/** True of one that a signal has stopped, until another one continues it (signal(7)). */
export function isStopped({ state }: ProcessStat): boolean {
  return state === "T"
}

function lineOf(pid: number | "self"): string {
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
