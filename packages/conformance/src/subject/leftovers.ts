import { readdir, readFile } from "node:fs/promises"
import { signal } from "./processes.ts"

/** Variable of the environment by which processes are known again that have left their group and their parent. */
export const MARK = "OVMS_CONFORMANCE_MARK"

async function isMarked(pid: string, mark: string): Promise<boolean> {
  const environment = await readFile(`/proc/${pid}/environ`, "utf8").catch(() => "")
  return environment.split("\0").includes(`${MARK}=${mark}`)
}

/** Every process of this user that has the mark. None is found where there is no /proc. */
export async function marked(mark: string): Promise<readonly number[]> {
  const names = await readdir("/proc").catch(() => [])
  const found = await Promise.all(
    names
      .filter((name) => /^\d+$/.test(name))
      .map(async (pid) => ((await isMarked(pid, mark)) ? [Number(pid)] : [])),
  )
  return found.flat()
}

/** Kills them; how many there were. */
export async function killMarked(mark: string): Promise<number> {
  const pids = await marked(mark)
  signal(pids, "SIGKILL")
  return pids.length
}
