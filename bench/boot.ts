// How long a machine takes from `ovm run` to its first line, beside the same QEMU command line by hand; and what the
// daemon needs of memory. `make bench-boot`.
import { spawn } from "node:child_process"
import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { MACHINE, OVM, output, withHome } from "./programs.ts"
import { inTurns, report } from "./turns.ts"

const ROUNDS = 5
const RECORDS = 200
const FIRST_LINE = "OVM-USERSPACE"
const NAME = "localhost/bench/boot:1"

/**
 * Milliseconds from spawning to the guest's first line on the program's standard output; returns when the program has
 * ended.
 */
function firstLine(
  argv: readonly string[],
  options: { env?: NodeJS.ProcessEnv; cwd?: string },
  seen: () => Promise<void> = async () => {},
): Promise<number> {
  const [program = "", ...args] = argv
  return new Promise((resolve, reject) => {
    const began = performance.now()
    const child = spawn(program, args, { ...options, stdio: ["ignore", "pipe", "inherit"] })
    let text = ""
    let time: number | undefined
    let noted: Promise<void> | undefined
    child.stdout.setEncoding("utf8")
    child.stdout.on("data", (chunk: string) => {
      text += chunk
      if (time !== undefined || !text.includes(FIRST_LINE)) return
      time = performance.now() - began
      noted = seen()
    })
    child.on("error", reject)
    child.on("close", async () => {
      await noted?.catch(reject)
      if (time === undefined) reject(new Error(`${program} ended without the guest's line:\n${text}`))
      else resolve(time)
    })
  })
}

/** The demo machine, which here powers off by itself once it has said its lines. */
async function pack(env: NodeJS.ProcessEnv, home: string): Promise<void> {
  const source = JSON.parse(await readFile(join(MACHINE, "machine.json"), "utf8"))
  source.kernel.args += " ovm.exit"
  const folder = join(home, "machine")
  await cp(MACHINE, folder, { recursive: true })
  await writeFile(join(folder, "machine.json"), JSON.stringify(source))
  output([OVM, "pack", "-f", join(folder, "machine.json"), "-t", NAME], env)
}

/** The only instance's directory. */
async function instanceDirectory(home: string): Promise<string> {
  const [id = ""] = await readdir(join(home, "instances"))
  return join(home, "instances", id)
}

/** The command line of the VMM that ovm has just started, as the kernel has it. */
async function commandLine(directory: string): Promise<string[]> {
  const [pid] = (await readFile(join(directory, "pid"), "utf8")).split(" ")
  return (await readFile(`/proc/${pid}/cmdline`, "utf8")).split("\0").slice(0, -1)
}

async function boot(env: NodeJS.ProcessEnv, home: string): Promise<void> {
  const byOvm = () => firstLine([OVM, "run", "--rm", NAME], { env })
  let argv: string[] = []
  let original = ""
  await firstLine([OVM, "run", NAME], { env }, async () => {
    original = await instanceDirectory(home)
    argv = await commandLine(original)
  })
  const own = await mkdtemp(join(tmpdir(), "ovm-bench-hand-"))
  try {
    // Nothing waits on the monitor here, so the guest may start at once; all else is as ovm has it.
    const hand = argv.filter((word) => word !== "-S").map((word) => word.replaceAll(original, own))
    const size = "64M"
    const byHand = () => {
      output(["qemu-img", "create", "-q", "-f", "qcow2", join(own, "overlay.qcow2"), size])
      return firstLine(hand, { cwd: own })
    }
    const [ours = Number.NaN, theirs = Number.NaN] = await inTurns(ROUNDS, byOvm, byHand)
    report("ovm run to the guest's first line", ours, { name: "the same argv by hand", took: theirs }, 1.05)
  } finally {
    await rm(own, { recursive: true, force: true })
  }
}

/** Resident memory of a daemon that has just started and answered twice, in MiB. */
async function daemonMemory(env: NodeJS.ProcessEnv): Promise<number> {
  output([OVM, "daemon", "--detach"], env)
  output([OVM, "ps", "--all", "--json"], env)
  const { daemon } = JSON.parse(output([OVM, "info", "--json"], env)) as { daemon: { pid: number } }
  const status = await readFile(`/proc/${daemon.pid}/status`, "utf8")
  const kib = Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1])
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
  await pack(env, home)
  await boot(env, home)
  output([OVM, "daemon", "--stop"], env)
  const idle = await daemonMemory(env)
  await copyRecords(home)
  const full = await daemonMemory(env)
  const verdict = idle <= 60 && full - idle <= 10 ? "holds" : "MISSED"
  console.log(
    `daemon: ${idle.toFixed(1)} MiB idle (bound 60), ${(full - idle).toFixed(1)} MiB more with ${RECORDS} stopped instances on record (bound 10): ${verdict}`,
  )
})
