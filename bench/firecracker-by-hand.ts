// Firecracker by hand, and what of ovm's machines on it that is held against.
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { copyFileSync, mkdirSync } from "node:fs"
import { readFile } from "node:fs/promises"
import { join } from "node:path"
import type { Runtime } from "../packages/ovm/src/runtime/interfaces.ts"
import { Api } from "../packages/ovm/src/vmm/firecracker/api.ts"
import { OVM, output } from "./programs.ts"
import { yielding } from "./vmm-by-hand.ts"

let count = 0

export interface SnapshotFiles {
  readonly ram: string
  readonly state: string
}

/** Starts it and waits until it runs: with a slot the answer says so. */
export async function started(runtime: Runtime, manifest: string, overrides = {}): Promise<string> {
  const { instance_id, status } = await runtime.start({ manifest, overrides })
  let state: string = status
  for (; state === "starting"; { state } = await runtime.status(instance_id)) await Bun.sleep(10)
  if (state !== "running") throw new Error(`the machine is ${state}`)
  return instance_id
}

/** A Firecracker in a folder of its own, which yields as those of ovm's machines do. */
export async function bare(home: string) {
  const folder = join(home, `hand-${count++}`)
  mkdirSync(folder)
  const args = ["--api-sock", "api.sock", "--level", "Error"]
  const options = { cwd: folder, detached: true, stdio: ["ignore", "pipe", "inherit"] as const }
  const child = await yielding(spawn("firecracker", args, { ...options, stdio: [...options.stdio] }))
  return { folder, child }
}

/** One that has loaded a snapshot, and waits. */
export async function loadedByHand(
  home: string,
  { ram, state }: SnapshotFiles,
): Promise<{ readonly api: Api; readonly child: ChildProcess }> {
  const { folder, child } = await bare(home)
  let api: Api | undefined
  while (!api) {
    await Bun.sleep(5)
    api = await Api.dial(folder)
  }
  const memory = { backend_type: "File", backend_path: ram }
  await api.ask("PUT", "/snapshot/load", { snapshot_path: state, mem_backend: memory, resume_vm: false })
  return { api, child }
}

/** Ends one, and waits until the host has nothing of it to do any more, which would slow what is measured next. */
export async function ended({
  child,
  api,
}: {
  readonly child: ChildProcess
  readonly api?: Api
}): Promise<void> {
  const exited = child.exitCode === null && child.signalCode === null && once(child, "exit")
  child.kill("SIGKILL")
  await exited
  api?.close()
}

/** The files that clones of the snapshot `warm` are loaded from: the RAM that they map, a copy of it, and the state. */
export async function filesOf(runtime: Runtime, home: string, warm: string): Promise<SnapshotFiles> {
  const id = await started(runtime, warm)
  const [pid] = (await readFile(join(home, "instances", id, "pid"), "utf8")).split(" ")
  const ram = /(\/\S*\/cache\/\S+)$/m.exec(await readFile(`/proc/${pid}/maps`, "utf8"))?.[1]
  await runtime.remove(id, { force: true })
  const { snapshot } = JSON.parse(
    output([OVM, "inspect", "--json", warm], { ...process.env, OVM_HOME: home }),
  )
  const state = join(home, "store/blobs", snapshot.state.ref.replace(":", "/"))
  if (!ram) throw new Error("the clone maps no file of the cache")
  const kept = { ram: join(home, "hand.ram"), state }
  copyFileSync(ram, kept.ram)
  return kept
}
