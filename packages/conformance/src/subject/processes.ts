import { readdir, readFile, readlink } from "node:fs/promises"

/** The processes of this host that have these words in what they were called with, or in where they are. */
export async function processesWith(words: string): Promise<number[]> {
  const pids = (await readdir("/proc").catch(() => [])).filter(
    (name) => /^\d+$/.test(name) && Number(name) !== process.pid,
  )
  const found = await Promise.all(
    pids.map(async (pid) => {
      const place = await readlink(`/proc/${pid}/cwd`).catch(() => "")
      const called = await readFile(`/proc/${pid}/cmdline`, "latin1").catch(() => "")
      return `${place}\0${called}`.includes(words) ? [Number(pid)] : []
    }),
  )
  return found.flat()
}

/** Those of them that have not ended. */
export async function alive(pids: readonly number[]): Promise<number[]> {
  const states = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/stat`, "latin1").catch(() => "")))
  return pids.filter((_, at) => states[at] && !/\) [ZX] /.test(states[at] ?? ""))
}

/** What they are, for whoever has to find them: the number of each, and what it was called with. */
export async function described(pids: readonly number[]): Promise<string> {
  const called = await Promise.all(
    pids.map((pid) => readFile(`/proc/${pid}/cmdline`, "latin1").catch(() => "")),
  )
  return pids
    .map((pid, at) => `${pid} (${called[at]?.replaceAll("\0", " ").trim().slice(0, 100)})`)
    .join(", ")
}

/** The one of them that has the most memory: where a guest's RAM is. */
export async function largest(pids: readonly number[]): Promise<number> {
  const pages = await Promise.all(
    pids.map(async (pid) => {
      const [, resident = 0] = (await readFile(`/proc/${pid}/statm`, "latin1").catch(() => "")).split(" ")
      return Number(resident)
    }),
  )
  return pids[pages.indexOf(Math.max(...pages))] ?? 0
}

export function signal(pids: readonly number[], name: "SIGSTOP" | "SIGCONT" | "SIGKILL"): void {
  for (const pid of pids)
    try {
      process.kill(pid, name)
    } catch {} // It has ended meanwhile.
}
