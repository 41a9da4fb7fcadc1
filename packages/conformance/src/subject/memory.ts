import { readdirSync, readFileSync } from "node:fs"
import { MARK } from "./leftovers.ts"

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
    for (const one of later(pid)) if (one === pid || isMarked(one, mark)) peak = larger(peak, one)
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS))
  }
  return peak
}

/** It, and the processes that began after it. */
function later(pid: number): readonly number[] {
  try {
    const names = readdirSync("/proc")
    return names.map(Number).filter((one) => one >= pid)
  } catch {
    return []
  }
}

function isMarked(pid: number, mark: string): boolean {
  return text(pid, "environ").split("\0").includes(`${MARK}=${mark}`)
}

function larger({ resident, reserved }: Peak, pid: number): Peak {
  const status = text(pid, "status")
  const bytes = (name: string) =>
    1024 * Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(status)?.[1] ?? 0)
  return {
    resident: Math.max(resident, bytes("VmHWM")),
    reserved: Math.max(reserved, bytes("VmPeak")),
  }
}

function text(pid: number, file: "environ" | "status"): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, "latin1")
  } catch {
    return "" // It has ended meanwhile.
  }
}
