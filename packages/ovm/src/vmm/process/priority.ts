import { readFileSync } from "node:fs"
import { getPriority } from "node:os"

/**
 * How much nicer a machine is than the daemon: beside a thread of the daemon's, one that is always busy gets a quarter
 * of a processor.
 */
const NICER = 5
const NICEST = 19

/**
 * The nice value by which a machine's processes yield to this one (docs/design/0031-priority-of-machines.md).
 */
export function processNice(): number {
  return Math.min(getPriority() + NICER, NICEST)
}

/**
 * The nice value by which a session is to yield to this process's: where the kernel weighs sessions against each other,
 * it looks at those of threads only inside one (sched(7), "The autogroup feature"). Undefined where it has no such
 * groups. What no setsid(2) lies behind, as what a host's first process runs, is in none: there the kernel weighs this
 * process's own threads beside the sessions.
 */
export function sessionNice(): number | undefined {
  try {
    const [, ours] = /nice (-?\d+)/.exec(readFileSync("/proc/self/autogroup", "latin1")) ?? []
    return ours === undefined ? processNice() : Math.min(Number(ours) + NICER, NICEST)
  } catch {
    return undefined
  }
}
