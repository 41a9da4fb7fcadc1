// Daemons that a benchmark starts and kills itself, and what they have.
import { type ChildProcess, spawn } from "node:child_process"
import { readFile } from "node:fs/promises"
import type { InstanceInfo, Runtime } from "../packages/ovm/src/runtime/interfaces.ts"
import { OVM } from "./programs.ts"

export const startDaemon = (env: NodeJS.ProcessEnv): ChildProcess =>
  spawn(OVM, ["daemon"], { env, stdio: "ignore" })

export async function killDaemon(daemon: ChildProcess): Promise<void> {
  const ended = new Promise((resolve) => daemon.once("exit", resolve))
  daemon.kill("SIGKILL")
  await ended
}

/** Asks until `done`; a daemon that does not answer yet is asked again. */
export async function untilListed(
  runtime: Runtime,
  done: (all: readonly InstanceInfo[]) => boolean,
): Promise<void> {
  for (;;) {
    const all = await runtime.list().catch(() => undefined)
    if (all && done(all)) return
    await Bun.sleep(2)
  }
}

export const isAdopted = ({ state, reachable }: InstanceInfo) =>
  state === "running" && reachable === undefined

/** Kibibytes of a process by name, from `status` or `smaps_rollup` of /proc. */
export async function kibibytes(pid: number | "self", file: string, name: string): Promise<number> {
  const text = await readFile(`/proc/${pid}/${file}`, "utf8")
  return Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(text)?.[1])
}
