import { isMarked } from "./leftovers.ts"
import { pids, textOf } from "./processes.ts"

/** The most that any process of a program has taken, in bytes; nothing where there is no /proc. */
export interface Peak {
  /** Of the host's memory. */
  readonly resident: number
  /** Of its own addresses, touched or not. */
  readonly reserved: number
}

/** Short, for what is over soon is seen too. */
const PAUSE_MS = 5

/** Looks at the processes with the mark, the first of which is `pid`, until `done`. */
export async function peakOf(pid: number, mark: string, done: AbortSignal): Promise<Peak> {
  let peak = { resident: 0, reserved: 0 }
  while (!done.aborted) {
    for (const one of pids()) if (one === pid || (one > pid && isMarked(one, mark))) peak = larger(peak, one)
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS))
  }
  return peak
}

function larger({ resident, reserved }: Peak, pid: number): Peak {
  const status = textOf(pid, "status")
  const bytes = (name: string) =>
    1024 * Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(status)?.[1] ?? 0)
  return {
    resident: Math.max(resident, bytes("VmHWM")),
    reserved: Math.max(reserved, bytes("VmPeak")),
  }
}
