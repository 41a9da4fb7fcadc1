import { readdirSync, readFileSync, readlinkSync } from "node:fs"

// What /proc has is read at once: it is in memory, and a promise for each file costs ten times as much.

/** Of every process of this host; none where there is no /proc. */
export function pids(): number[] {
  try {
    return readdirSync("/proc")
      .filter((name) => /^\d+$/.test(name))
      .map(Number)
  } catch {
    return []
  }
}

/** A file of a process's, or nothing if it has ended meanwhile or belongs to somebody else. */
export function textOf(pid: number, file: "cmdline" | "environ" | "stat" | "statm" | "status"): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, "latin1")
  } catch {
    return ""
  }
}

function placeOf(pid: number): string {
  try {
    return readlinkSync(`/proc/${pid}/cwd`)
  } catch {
    return ""
  }
}

/** The processes of this host that have these words in what they were called with, or in where they are. */
export function processesWith(words: string): number[] {
  return pids().filter(
    (pid) => pid !== process.pid && `${placeOf(pid)}\0${textOf(pid, "cmdline")}`.includes(words),
  )
}

/** Those of them that have not ended. */
export function alive(some: readonly number[]): number[] {
  return some.filter((pid) => /\) [^ZX] /.test(textOf(pid, "stat")))
}

/** Those of them that a signal has stopped. */
export function stopped(some: readonly number[]): number[] {
  return some.filter((pid) => /\) T /.test(textOf(pid, "stat")))
}

/** What they are, for whoever has to find them: the number of each, and what it was called with. */
export function described(some: readonly number[]): string {
  return some
    .map((pid) => `${pid} (${textOf(pid, "cmdline").replaceAll("\0", " ").trim().slice(0, 100)})`)
    .join(", ")
}

/** The one of them that has the most memory: where a guest's RAM is. */
export function largest(some: readonly number[]): number {
  const pages = some.map(residentOf)
  return some[pages.indexOf(Math.max(...pages))] ?? 0
}

/** Pages of memory that this one has; 0 where there is none. */
export function pagesOf(some: readonly number[]): number {
  return Math.max(0, ...some.map(residentOf))
}

function residentOf(pid: number): number {
  return Number(textOf(pid, "statm").split(" ")[1] ?? 0)
}

/** Milliseconds of the host's processors that a process has taken, as Linux counts on x86-64 and arm64. */
export function processorTime(pid: number): number | undefined {
  const fields = textOf(pid, "stat").split(") ").at(-1)?.split(" ") ?? []
  const [user, system] = [Number(fields[11]), Number(fields[12])]
  return pid === 0 || Number.isNaN(user + system) ? undefined : (user + system) * 10
}

export function signal(some: readonly number[], name: "SIGSTOP" | "SIGCONT" | "SIGKILL"): void {
  for (const pid of some)
    try {
      process.kill(pid, name)
    } catch {} // It has ended meanwhile.
}
