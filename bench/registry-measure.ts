import { readFileSync } from "node:fs"
import { output } from "./programs.ts"
import { median } from "./turns.ts"

export interface Run {
  /** Milliseconds of the command alone, and with a `sync` after it. */
  readonly ms: number
  readonly synced: number
  /** Milliseconds of CPU time, user and system, of the command. */
  readonly cpu: number
  /** Peak of resident memory, MiB. */
  readonly memory: number
}

export async function run(argv: readonly string[], env: NodeJS.ProcessEnv): Promise<Run> {
  // What others have left to write is not charged to this one.
  output(["sync"])
  const began = performance.now()
  const child = Bun.spawn([...argv], {
    stdio: ["ignore", "ignore", "pipe"],
    env: { ...process.env, ...env },
  })
  let memory = 0
  const looking = setInterval(() => {
    memory = Math.max(memory, peakOf(child.pid))
  }, 20)
  const words = await new Response(child.stderr).text()
  const status = await child.exited
  const ms = performance.now() - began
  clearInterval(looking)
  if (status !== 0) throw new Error(`${argv.join(" ")}: exit status ${status}\n${words}`)
  output(["sync"])
  // The kernel's own sum is in microseconds.
  const cpu = Number(child.resourceUsage()?.cpuTime.total ?? 0) / 1000
  return { ms, synced: performance.now() - began, cpu, memory }
}

/** Peak of a process's resident memory in MiB, asked while it runs: the rusage of a child has its parent's in it. */
function peakOf(pid: number): number {
  try {
    const kib = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]
    return Number(kib ?? 0) / 1024
  } catch {
    return 0
  }
}

/**
 * Each in turn, `rounds` times, after one round that is not counted. Every round begins with another one, because what
 * a program leaves to the disk (writes, discards) is paid by the next.
 */
export async function measure<T>(all: readonly T[], rounds: number, once: (one: T) => Promise<Run>) {
  const runs = new Map<T, Run[]>(all.map((one) => [one, []]))
  for (let round = 0; round <= rounds; round++) {
    const first = round % all.length
    for (const one of [...all.slice(first), ...all.slice(0, first)]) {
      const result = await once(one)
      if (round > 0) runs.get(one)?.push(result)
    }
  }
  return runs
}

interface Named {
  readonly name: string
}

interface Goal {
  readonly goal: number
  readonly floor: number
  /** The floor where `sync` is counted too. */
  readonly synced: number
}

/** A table of medians; the first of `runs` is ours, and `bound` is on the fastest other one's time over ours. */
export function print(what: string, bound: Goal, runs: ReadonlyMap<Named, readonly Run[]>): void {
  const rows = [...runs].map(([{ name }, list]) => ({
    name,
    count: list.length,
    ms: median(list.map(({ ms }) => ms)),
    synced: median(list.map(({ synced }) => synced)),
    cpu: median(list.map(({ cpu }) => cpu)),
    memory: Math.max(...list.map(({ memory }) => memory)),
  }))
  const [ours, ...theirs] = rows
  if (!ours) return
  console.log(`\n${what}; medians of ${ours.count}, seconds`)
  const ratio = (a: number, b: number) => `${(a / b).toFixed(2)}x`.padStart(8)
  const seconds = (ms: number) => (ms / 1000).toFixed(2).padStart(10)
  console.log(
    `${"".padEnd(13)}${["time", "/ ovm", "with sync", "/ ovm", "CPU", "/ ovm", "peak MiB"].map((title, index) => title.padStart(index % 2 === 0 ? 10 : 8)).join("")}`,
  )
  for (const { name, ms, synced, cpu, memory } of rows)
    console.log(
      `${name.padEnd(13)}${seconds(ms)}${ratio(ms, ours.ms)}${seconds(synced)}${ratio(synced, ours.synced)}${seconds(cpu)}${ratio(cpu, ours.cpu)}${memory.toFixed(0).padStart(8)}`,
    )
  const best = Math.min(...theirs.map(({ ms }) => ms)) / ours.ms
  const bestSynced = Math.min(...theirs.map(({ synced }) => synced)) / ours.synced
  const met =
    best >= bound.goal ? "holds" : best >= bound.floor ? "missed, the floor holds" : "MISSED, the floor too"
  console.log(
    `fastest other / ours: ${best.toFixed(2)} (goal ${bound.goal}, floor ${bound.floor}: ${met}); with sync ${bestSynced.toFixed(2)} (floor ${bound.synced}: ${bestSynced >= bound.synced ? "holds" : "MISSED"})`,
  )
}
