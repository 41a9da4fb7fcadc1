import { readdirSync, readFileSync, readlinkSync } from "node:fs"
import { readdir, readFile, readlink } from "node:fs/promises"

/** Command lines of all processes that work in `folder`: what a test must not leave behind. Zombies do not count. */
export function processesIn(folder: string): string[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        if (readlinkSync(`/proc/${pid}/cwd`) !== folder) return []
        return [readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ").slice(0, 200)]
      } catch {
        return []
      }
    })
}

/** Pids of the processes that work in `folder`, of all names or those called `name`. */
export function pidsIn(folder: string, name?: string): number[] {
  return readdirSync("/proc")
    .filter((pid) => /^\d+$/.test(pid))
    .filter((pid) => {
      try {
        return (
          readlinkSync(`/proc/${pid}/cwd`) === folder &&
          (name === undefined || readFileSync(`/proc/${pid}/comm`, "utf8").trim() === name)
        )
      } catch {
        return false
      }
    })
    .map(Number)
}

/** Pids of VMMs whose working directory is below `folder`. */
export async function vmmsBelow(folder: string): Promise<number[]> {
  const pids: number[] = []
  for (const pid of (await readdir("/proc")).filter((name) => /^\d+$/.test(name))) {
    const [name, cwd] = await Promise.all([
      readFile(`/proc/${pid}/comm`, "utf8").catch(() => ""),
      readlink(`/proc/${pid}/cwd`).catch(() => ""),
    ])
    if (name.startsWith("qemu") && cwd.startsWith(folder)) pids.push(Number(pid))
  }
  return pids
}
