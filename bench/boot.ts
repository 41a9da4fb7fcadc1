// How long a machine takes from `ovm run` to its first line, beside the same QEMU command line by hand; and what the
// daemon needs of memory. `make bench-boot`.
import { type ChildProcess, spawn } from "node:child_process"
import { copyFileSync } from "node:fs"
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { findFirmware } from "../packages/ovm/src/vmm/qemu/firmware.ts"
import { kibibytes } from "./daemons.ts"
import { FIRST_LINE, packDemo } from "./demo-machine.ts"
import { OVM, output, withHome } from "./programs.ts"
import { inTurns, report } from "./turns.ts"
import { type Recipe, recipeOf, runByHand } from "./vmm-by-hand.ts"

const ROUNDS = 5
const UEFI_ROUNDS = 3
const RECORDS = 200
const NAME = "localhost/bench/boot:1"

/**
 * Milliseconds from the start of a program to the guest's first line on its standard output; returns when the program
 * has ended.
 */
async function firstLine(
  start: () => ChildProcess | Promise<ChildProcess>,
  seen: () => Promise<void> = async () => {},
): Promise<number> {
  const began = performance.now()
  const child = await start()
  const ended = new Promise((resolve, reject) => child.once("error", reject).once("close", resolve))
  let text = ""
  let time: number | undefined
  let noted: Promise<void> | undefined
  child.stdout?.setEncoding("utf8").on("data", (chunk: string) => {
    text += chunk
    if (time !== undefined || !text.includes(FIRST_LINE)) return
    time = performance.now() - began
    noted = seen()
  })
  await ended
  await noted
  if (time === undefined) throw new Error(`it ended without the guest's line:\n${text}`)
  return time
}

/** The only instance's directory. */
async function instanceDirectory(home: string): Promise<string> {
  const [id = ""] = await readdir(join(home, "instances"))
  return join(home, "instances", id)
}

/** A machine that is measured. */
interface Measured {
  readonly name: string
  readonly what: string
  readonly rounds: number
  /** Copied for each run by hand, as for each machine: the variables of its firmware. */
  readonly variables?: string
}

async function boot(env: NodeJS.ProcessEnv, home: string, { name, ...measured }: Measured): Promise<void> {
  const run = (...options: string[]) =>
    spawn(OVM, ["run", ...options, name], { env, stdio: ["ignore", "pipe", "inherit"] })
  let recipe: Recipe | undefined
  await firstLine(run, async () => {
    recipe = await recipeOf(await instanceDirectory(home))
  })
  const own = await mkdtemp(join(tmpdir(), "ovm-bench-hand-"))
  try {
    const byHand = () => {
      output(["qemu-img", "create", "-q", "-f", "qcow2", join(own, "overlay.qcow2"), "64M"])
      if (measured.variables) copyFileSync(measured.variables, join(own, "firmware-variables.fd"))
      return firstLine(() => runByHand(recipe as Recipe, own))
    }
    const byOvm = () => firstLine(() => run("--rm"))
    const [ours = Number.NaN, theirs = Number.NaN] = await inTurns(measured.rounds, byOvm, byHand)
    const network = recipe?.argv.includes("-netdev") ? "a network" : "no network"
    report(
      `ovm run ${measured.what} with ${network} to the guest's first line`,
      ours,
      { name: "the same argv by hand", took: theirs },
      1.05,
    )
  } finally {
    await rm(own, { recursive: true, force: true })
  }
}

/** The same machine, started by the host's firmware. */
async function bootByUefi(env: NodeJS.ProcessEnv, home: string): Promise<void> {
  const template = findFirmware()?.template
  if (!template) return console.log("skipped: no UEFI firmware here (Debian: ovmf)")
  const name = "localhost/bench/uefi:1"
  await packDemo(env, home, name, { metadata: { platform: { arch: "x86_64", uefi: true } } })
  await boot(env, home, { name, what: "by UEFI", rounds: UEFI_ROUNDS, variables: template.path })
}

/** Resident memory of a daemon that has just started and answered twice, in MiB. */
async function daemonMemory(env: NodeJS.ProcessEnv): Promise<number> {
  output([OVM, "daemon", "--detach"], env)
  output([OVM, "ps", "--all", "--json"], env)
  const { daemon } = JSON.parse(output([OVM, "info", "--json"], env)) as { daemon: { pid: number } }
  const kib = await kibibytes(daemon.pid, "status", "VmRSS")
  output([OVM, "daemon", "--stop"], env)
  return kib / 1024
}

/** The one instance on record, again and again under other ids. */
async function copyRecords(home: string): Promise<void> {
  const text = await readFile(join(await instanceDirectory(home), "instance.json"), "utf8")
  const { instance_id, name } = JSON.parse(text).info as { instance_id: string; name?: string }
  for (let index = 1; index < RECORDS; index++) {
    const id = crypto.randomUUID()
    const renamed = name === undefined ? text : text.replaceAll(`"${name}"`, `"bench-${index}"`)
    await mkdir(join(home, "instances", id), { mode: 0o700 })
    await writeFile(join(home, "instances", id, "instance.json"), renamed.replaceAll(instance_id, id))
  }
}

await withHome(async (env, home) => {
  await packDemo(env, home, NAME)
  await boot(env, home, { name: NAME, what: "of a kernel", rounds: ROUNDS })
  output([OVM, "daemon", "--stop"], env)
  const idle = await daemonMemory(env)
  await copyRecords(home)
  const full = await daemonMemory(env)
  const verdict = idle <= 60 && full - idle <= 10 ? "holds" : "MISSED"
  console.log(
    `daemon: ${idle.toFixed(1)} MiB idle (bound 60), ${(full - idle).toFixed(1)} MiB more with ${RECORDS} stopped instances on record (bound 10): ${verdict}`,
  )
})
await withHome(bootByUefi)
