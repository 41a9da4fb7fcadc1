import { spawnSync } from "node:child_process"
import { rmSync } from "node:fs"
import { mkdtemp, readFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { pidsBelow } from "./left.ts"

const ROOT = join(import.meta.dir, "..")
export const OVM = join(ROOT, "dist/ovm")
export const MACHINE = join(ROOT, ".cache/machine")

export function peer(name: string): string {
  return join(process.env.OVM_PEERS ?? join(ROOT, ".cache/peers"), "bin", name)
}

/** Runs a program to its end and returns what it printed. Throws with its own words if it fails. */
export function output(argv: readonly string[], env: NodeJS.ProcessEnv = process.env): string {
  const [program = "", ...args] = argv
  const { status, stdout, stderr, error } = spawnSync(program, args, { encoding: "utf8", env })
  if (error) throw error
  if (status !== 0) throw new Error(`${argv.join(" ")}: exit status ${status}\n${stderr}`)
  return stdout
}

/** Milliseconds from spawning a program to its end. */
export function duration(argv: readonly string[], env: NodeJS.ProcessEnv = process.env): number {
  const [program = "", ...args] = argv
  const began = performance.now()
  const { status, error } = spawnSync(program, args, { stdio: "ignore", env })
  const time = performance.now() - began
  if (error) throw error
  if (status !== 0) throw new Error(`${argv.join(" ")}: exit status ${status}`)
  return time
}

/**
 * Gives `use` an OVM_HOME of its own, and removes it afterwards together with the daemon that was started in it and its
 * machines, also where somebody has no more patience.
 */
export async function withHome(use: (env: NodeJS.ProcessEnv, home: string) => Promise<void>): Promise<void> {
  const home = await mkdtemp(join(tmpdir(), "ovm-bench-"))
  const env = { ...process.env, OVM_HOME: home, DOCKER_CONFIG: join(home, "docker") }
  const end = () => {
    spawnSync(OVM, ["daemon", "--stop"], { stdio: "ignore", env })
    // They outlive their daemon, and are told neither by it nor by us that their folder has gone.
    for (const pid of pidsBelow(home)) process.kill(pid, "SIGKILL")
    rmSync(home, { recursive: true, force: true })
  }
  const giveUp = () => {
    end()
    process.exit(130)
  }
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, giveUp)
  try {
    await use(env, home)
  } finally {
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.off(signal, giveUp)
    end()
  }
}

/**
 * Waits until a console has said `words`, or anything; they may come in pieces. Throws what it said if it ends before.
 */
export async function untilSaid(console: AsyncIterable<Uint8Array>, words: string): Promise<void> {
  let text = ""
  for await (const bytes of console) {
    text += Buffer.from(bytes).toString("latin1")
    if (text.includes(words)) return
  }
  throw new Error(`the machine ended: ${text}`)
}

/** Proportional set size of a process, in MiB: pages that several share count for each in part. */
export async function pss(pid: number): Promise<number> {
  return Number(/^Pss:\s+(\d+) kB$/m.exec(await readFile(`/proc/${pid}/smaps_rollup`, "utf8"))?.[1]) / 1024
}
