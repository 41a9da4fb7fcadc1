import { readdirSync, readFileSync, readlinkSync } from "node:fs"
import { join } from "node:path"

/** By how much the daemon's memory may have grown, in MiB. */
const BOUND_MIB = 5

/** How long memory that is free is given to be given back. */
const REST_MS = 3000

/** What a daemon has swings by more than a leak would show, as its garbage comes and goes: the least is told. */
export const LOOKS = 3

const FIGURES = ["memory", "descriptors", "files", "processes"] as const

/** What a daemon has, and what works in its root. */
export interface Left {
  /** Resident, in MiB. */
  readonly memory: number
  readonly descriptors: number
  readonly files: number
  readonly processes: number
}

/**
 * The least that it has of each after some work and a rest, of several times: right after much work its memory is what
 * that took at a time.
 */
export async function left(pid: number, home: string, work: () => Promise<unknown>): Promise<Left> {
  const looks: Left[] = []
  for (let look = 0; look < LOOKS; look++) {
    await work()
    await Bun.sleep(REST_MS)
    looks.push(lookAt(pid, home))
  }
  const least = (figure: keyof Left) => Math.min(...looks.map((look) => look[figure]))
  const [memory = 0, descriptors = 0, files = 0, processes = 0] = FIGURES.map(least)
  return { memory, descriptors, files, processes }
}

function lookAt(pid: number, home: string): Left {
  const proc = `/proc/${pid}`
  const [, rss] = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(join(proc, "status"), "latin1")) ?? []
  return {
    memory: Number(rss) / 1024,
    descriptors: openIn(pid, join(home, `.ovm.sock.${pid}`)),
    files: readdirSync(home, { recursive: true }).length,
    processes: pidsBelow(home).length,
  }
}

/**
 * How many descriptors it has, but for its clients' connections, which they keep for a while. The kernel knows them by
 * `path`, where the daemon's socket was made before it was moved into its place.
 */
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

/** What was left before, and what is left after, `what`: it must not have become more, but for the daemon's memory. */
export function reportLeft(what: string, before: Left, after: Left): void {
  console.log(`${what}, the least before and after:`)
  for (const figure of FIGURES) {
    const isMemory = figure === "memory"
    const [unit, bound, digits] = isMemory ? [" MiB", BOUND_MIB, 1] : ["", 0, 0]
    const grown = after[figure] - before[figure]
    const verdict = grown <= bound ? "holds" : "MISSED"
    const both = `${before[figure].toFixed(digits)} and ${after[figure].toFixed(digits)}${unit}`
    console.log(`  ${figure}: ${both} (more by ${bound}${unit} at most: ${verdict})`)
  }
}
