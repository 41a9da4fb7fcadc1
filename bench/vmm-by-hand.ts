// The VMM of one of ovm's machines, run again by hand: the same command line in a folder of its own, with a passt of
// its own where it has a network.
import { type ChildProcess, spawn } from "node:child_process"
import { closeSync } from "node:fs"
import { mkdir, readFile, writeFile } from "node:fs/promises"
import { setPriority } from "node:os"
import { join } from "node:path"
import { socketPair } from "../packages/ovm/src/host/libc.ts"
import type { PortForward } from "../packages/ovm/src/network/forward.ts"
import { findPasst, startPasst } from "../packages/ovm/src/network/passt.ts"
import { INHERITED } from "../packages/ovm/src/vmm/process/keeper.ts"
import { processNice, sessionNice } from "../packages/ovm/src/vmm/process/priority.ts"

/** How a VMM was started, as the kernel has it. */
export interface Recipe {
  readonly argv: readonly string[]
  /** The instance's. */
  readonly folder: string
}

/** That of the machine in `folder`, which runs. */
export async function recipeOf(folder: string): Promise<Recipe> {
  const [pid] = (await readFile(join(folder, "pid"), "utf8")).split(" ")
  const argv = (await readFile(`/proc/${pid}/cmdline`, "utf8")).split("\0").slice(0, -1)
  return { argv, folder }
}

/** Nothing waits on the monitor by hand, so that the guest may start at once; all else is as ovm has it. */
export function inFolder({ argv, folder }: Recipe, own: string): string[] {
  return argv.filter((word) => word !== "-S").map((word) => word.replaceAll(folder, own))
}

/**
 * Runs it in the folder `own`, which is made; its console is its standard output. In a session of its own that yields
 * as those of ovm's machines do: what else the host does is to weigh on both in the same way.
 */
export async function runByHand(
  recipe: Recipe,
  own: string,
  forwards: readonly PortForward[] = [],
): Promise<ChildProcess> {
  await mkdir(own, { recursive: true })
  const { child, linked } = await spawnByHand(inFolder(recipe, own), own, { stdout: "pipe", forwards })
  await linked
  return child
}

/** `linked` settles once its network is there, if it has one. */
export async function spawnByHand(
  [program = "", ...args]: readonly string[],
  own: string,
  {
    stdout,
    forwards = [],
  }: { readonly stdout: "pipe" | "ignore"; readonly forwards?: readonly PortForward[] },
): Promise<{ readonly child: ChildProcess; readonly linked: Promise<unknown> }> {
  const passt = args.includes("-netdev") ? findPasst() : undefined
  const options = { cwd: own, detached: true }
  const stdio: ("ignore" | "pipe" | "inherit" | number)[] = ["ignore", stdout, "inherit"]
  if (passt === undefined)
    return { child: await yielding(spawn(program, args, { ...options, stdio })), linked: Promise.resolve() }
  const ends = socketPair()
  while (stdio.length < INHERITED) stdio.push("ignore")
  const child = await yielding(spawn(program, args, { ...options, stdio: [...stdio, ends[0]] }))
  closeSync(ends[0])
  const linked = startPasst(passt, forwards, { connection: ends[1] }, new AbortController().signal)
  return { child, linked: linked.finally(() => closeSync(ends[1])) }
}

/** Makes it yield as a machine of ovm's does, once it is spawned (docs/design/0031-priority-of-machines.md). */
export async function yielding(child: ChildProcess): Promise<ChildProcess> {
  await new Promise((resolve, reject) => child.once("spawn", resolve).once("error", reject))
  const { pid = 0 } = child
  setPriority(pid, processNice())
  const session = sessionNice()
  if (session !== undefined) await writeFile(`/proc/${pid}/autogroup`, String(session))
  return child
}
