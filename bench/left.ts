import { readdirSync, readFileSync, readlinkSync } from "node:fs"
import { join } from "node:path"

/** By how much the daemon's memory may differ, in MiB. */
const BOUND_MIB = 5

/** How long memory that is free is given to be given back. */
const REST_MS = 5000

/** What a daemon has, and what works in its root. */
export interface Left {
  /** Resident, in MiB. */
  readonly memory: number
  readonly descriptors: number
  readonly files: number
  readonly processes: number
}

/** What it has once it has had a rest: right after much work its memory is what that work took at a time. */
export async function left(pid: number, home: string): Promise<Left> {
  await Bun.sleep(REST_MS)
  const proc = `/proc/${pid}`
  const [, rss] = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(join(proc, "status"), "latin1")) ?? []
  return {
    memory: Number(rss) / 1024,
    descriptors: openIn(pid, join(home, "ovm.sock")),
    files: readdirSync(home, { recursive: true }).length,
    processes: pidsBelow(home).length,
  }
}

/** How many descriptors it has, but for its clients' connections by the socket `path`, which they keep for a while. */
function openIn(pid: number, path: string): number {
  const clients = new Set(
    readFileSync("/proc/net/unix", "latin1")
      .split("\n")
      .filter((line) => line.endsWith(` ${path}`))
      .map((line) => `socket:[${line.trim().split(/\s+/)[6]}]`),
  )
  const folder = `/proc/${pid}/fd`
  return readdirSync(folder).filter((fd) => !clients.has(linkIn(folder, fd))).length
}

/** Empty where it has gone meanwhile. */
function linkIn(folder: string, name: string): string {
  try {
    return readlinkSync(join(folder, name))
  } catch {
    return ""
  }
}

/** The processes that work in this root. */
export function pidsBelow(home: string): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name) && linkIn(`/proc/${name}`, "cwd").startsWith(home))
    .map(Number)
}

/** What was left before, and what is left after, `what`: all but the memory is to be the same. */
export function reportLeft(what: string, before: Left, after: Left): void {
  const verdict = Math.abs(after.memory - before.memory) <= BOUND_MIB ? "holds" : "MISSED"
  console.log(`${what}, before and after:`)
  console.log(
    `  memory: ${before.memory.toFixed(1)} and ${after.memory.toFixed(1)} MiB (bound ${BOUND_MIB}: ${verdict})`,
  )
  for (const one of ["descriptors", "files", "processes"] as const)
    console.log(
      `  ${one}: ${before[one]} and ${after[one]} (${before[one] === after[one] ? "equal" : "NOT EQUAL"})`,
    )
}
