import { pids, signal, textOf } from "./processes.ts"

/** Variable of the environment by which processes are known again that have left their group and their parent. */
export const MARK = "OVMS_CONFORMANCE_MARK"

/** Whether a process of this user has the mark. */
export function isMarked(pid: number, mark: string): boolean {
  return textOf(pid, "environ").split("\0").includes(`${MARK}=${mark}`)
}

/** Every process of this user that has the mark. None is found where there is no /proc. */
export function marked(mark: string): number[] {
  return pids().filter((pid) => isMarked(pid, mark))
}

/** Kills them; how many there were. */
export function killMarked(mark: string): number {
  const found = marked(mark)
  signal(found, "SIGKILL")
  return found.length
}
