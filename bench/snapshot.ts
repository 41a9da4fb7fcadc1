// How long a snapshot stops a machine and how fast it is resumed, beside the same steps by hand over the same monitor.
// `make bench-snapshot`. The adapter alone: no daemon, no artifact.
import { spawn } from "node:child_process"
import { createWriteStream } from "node:fs"
import { mkdir, mkdtemp, readFile, rm } from "node:fs/promises"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { createOverlay } from "../packages/ovm/src/disk/overlay.ts"
import { readConsole } from "../packages/ovm/src/vmm/console.ts"
import type { DiskFile, Machine, ResumePlan, SnapshotParts } from "../packages/ovm/src/vmm/interfaces.ts"
import { kill } from "../packages/ovm/src/vmm/process/identity.ts"
import { qemu } from "../packages/ovm/src/vmm/qemu/index.ts"
import { connectIn, connectQmp, type Qmp } from "../packages/ovm/src/vmm/qemu/qmp.ts"
import { MACHINE } from "./programs.ts"
import { median } from "./turns.ts"

const ROUNDS = 50
const MEMORY = 256 << 20
const DISK = 64 << 20

const root = await mkdtemp(join(tmpdir(), "ovm-bench-snapshot-"))
const vmm = qemu(join(root, "cache"))
const machines: Machine[] = []
let count = 0
const path = (name: string) => join(root, `${count++}-${name}`)
const base = ["base.qcow2", "diff1.qcow2"].map((file) => ({
  path: join(MACHINE, file),
  format: "qcow2" as const,
}))

async function directory(): Promise<string> {
  const made = path("machine")
  await mkdir(made, { mode: 0o700 })
  return made
}

async function overlay(): Promise<string> {
  const made = path("overlay.qcow2")
  await createOverlay(made, DISK)
  return made
}

async function boot(): Promise<Machine> {
  const machine = await vmm.launch({
    ...{ id: "bench", directory: await directory(), devices: [], consoleLimit: 1 << 16 },
    resources: { vcpus: 1, memory: MEMORY },
    kernel: { path: join(MACHINE, "vmlinuz"), args: "console=ttyS0 root=/dev/vda rw quiet panic=-1" },
    initrd: { path: join(MACHINE, "initrd.img") },
    disk: { layers: base, overlay: await overlay() },
  })
  machines.push(machine)
  for await (const bytes of readConsole(machine.record.directory, { follow: true, ended: machine.exited }))
    if (Buffer.from(bytes).includes("OVM-DISK")) break
  await sleep(1000)
  return machine
}

interface Times {
  readonly paused: number
  readonly total: number
}

const kept: SnapshotParts[] = []

async function snapshot(machine: Machine): Promise<Times> {
  const parts = await machine.snapshot?.({
    ram: path("ram"),
    state: path("state"),
    overlay: path("new.qcow2"),
  })
  if (!parts) throw new Error("the machine cannot be snapshotted")
  kept.push(parts)
  // The first of a machine is resumed below; 50 RAM files are not to fill the disk.
  if (kept.length > 1) await Promise.all([parts.origin.ram, parts.origin.state].map((file) => rm(file)))
  return parts.timings
}

/** The monitor of a machine that nobody else holds. */
async function monitor(folder: string): Promise<Qmp> {
  for (;;) {
    const qmp = await connectQmp(folder, { timeoutMs: 5000 })
    if (qmp) return qmp
    await sleep(1)
  }
}

async function until(qmp: Qmp, wanted: string): Promise<void> {
  for (;;) {
    const { status } = (await qmp.execute("query-migrate")) as { status?: string }
    if (status === wanted) return
    if (status === "failed") throw new Error("the migration by hand failed")
    await sleep(1)
  }
}

const on = (...names: string[]) => ({
  capabilities: names.map((capability) => ({ capability, state: true })),
})

/** The recipe with nothing around it: the stream goes into a file as it is. */
async function byHand(qmp: Qmp, folder: string, top: string): Promise<Times & { readonly top: string }> {
  const began = performance.now()
  const file = await overlay()
  const [node, stream] = [path("node").replace(/.*\//, "n"), path("stream")]
  await qmp.execute("blockdev-add", { driver: "file", "node-name": `f${node}`, filename: file })
  await qmp.execute("blockdev-add", { driver: "qcow2", "node-name": node, file: `f${node}`, backing: null })
  await qmp.execute("migrate-set-capabilities", on("x-ignore-shared", "pause-before-switchover"))
  await qmp.execute("migrate-set-parameters", { "max-bandwidth": 1e11, "downtime-limit": 30 })
  const times: Record<string, number> = {}
  const unsubscribe = qmp.subscribe(({ event, time = 0 }) => {
    times[event] = time
  })
  const over = Promise.withResolvers<void>()
  const server = createServer((socket) => socket.pipe(createWriteStream(stream)).on("close", over.resolve))
  await new Promise<void>((resolve) => server.listen(join(folder, "hand.sock"), resolve))
  await qmp.execute("migrate", { uri: "unix:hand.sock" })
  await until(qmp, "pre-switchover")
  await qmp.execute("blockdev-snapshot", { node: top, overlay: node })
  await qmp.execute("migrate-continue", { state: "pre-switchover" })
  await until(qmp, "completed")
  while (((await qmp.execute("query-status")) as { status: string }).status !== "postmigrate") await sleep(1)
  await qmp.execute("cont")
  await over.promise
  server.close()
  unsubscribe()
  const total = performance.now() - began
  await rm(stream)
  return { paused: (times.RESUME ?? Number.NaN) - (times.STOP ?? Number.NaN), total, top: node }
}

function say(what: string, values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const [p50, p99] = [median(values), sorted[Math.ceil(sorted.length * 0.99) - 1] ?? Number.NaN]
  console.log(`${what}: p50 ${p50.toFixed(1)} ms, p99 ${p99.toFixed(1)} ms`)
  return p50
}

function ratio(what: string, ours: number, theirs: number, bound: number): void {
  const value = ours / theirs
  console.log(
    `${what}, ratio to by hand: ${value.toFixed(2)} (bound ${bound}: ${value <= bound ? "holds" : "MISSED"})`,
  )
}

async function snapshots(what: string, ours: Machine, other: Machine): Promise<void> {
  other.detach()
  const folder = other.record.directory
  const qmp = await monitor(folder)
  const [first] = (await qmp.execute("query-block")) as { inserted: { "node-name": string } }[]
  let top = first?.inserted["node-name"] ?? ""
  const [mine, theirs]: [Times[], Times[]] = [[], []]
  for (let round = 0; round <= ROUNDS; round++) {
    const [one, two] = [await snapshot(ours), await byHand(qmp, folder, top)]
    top = two.top
    // The first round of each warms caches.
    if (round > 0) {
      mine.push(one)
      theirs.push(two)
    }
  }
  qmp.close()
  for (const key of ["paused", "total"] as const) {
    const p50 = say(
      `snapshot of ${what}, ${key}`,
      mine.map((times) => times[key]),
    )
    const hand = say(
      `  by hand, ${key}`,
      theirs.map((times) => times[key]),
    )
    if (key === "paused") ratio(`  ${key}`, p50, hand, 1.5)
  }
}

async function resumePlan(origin: SnapshotParts["origin"], layers: readonly DiskFile[]): Promise<ResumePlan> {
  const resources = { vcpus: 1, memory: MEMORY }
  const plan = { id: "bench", directory: await directory(), devices: [], consoleLimit: 1 << 16, resources }
  return { ...plan, origin, disk: { layers, overlay: await overlay() } }
}

/** The same command line, spawned and loaded by hand. */
async function loadByHand(argv: readonly string[], theirs: string, state: Buffer): Promise<number> {
  const folder = await directory()
  const disk = await overlay()
  const [program = "", ...args] = argv.map((word) => word.replace(theirs, disk))
  const began = performance.now()
  const child = spawn(program, args, { cwd: folder, stdio: "ignore" })
  const qmp = await monitor(folder)
  await qmp.execute("migrate-set-capabilities", on("x-ignore-shared"))
  await qmp.execute("migrate-incoming", { uri: "unix:in" })
  const socket = await connectIn(folder, "in")
  socket?.end(state)
  await until(qmp, "completed")
  await qmp.execute("cont")
  const took = performance.now() - began
  qmp.close()
  child.kill("SIGKILL")
  return took
}

async function resumes({ origin, disk }: SnapshotParts): Promise<void> {
  const layers = [...base, { path: disk?.frozen ?? "", format: "qcow2" as const }]
  const state = await readFile(origin.state)
  const [spawned, loaded, resumed, all, hand]: number[][] = [[], [], [], [], []]
  for (let round = 0; round <= ROUNDS; round++) {
    const plan = await resumePlan(origin, layers)
    const began = performance.now()
    const waiting = await vmm.load?.(plan)
    const clone = await waiting?.resume()
    const took = performance.now() - began
    if (!clone) throw new Error("the VMM cannot load")
    const argv = (await readFile(`/proc/${clone.record.pid}/cmdline`, "utf8")).split("\0").slice(0, -1)
    await clone.stop({ graceMs: 0 })
    const theirs = await loadByHand(argv, plan.disk?.overlay ?? "", state)
    if (round === 0) continue
    spawned?.push(clone.timings.spawn)
    loaded?.push(clone.timings.load)
    resumed?.push(clone.timings.resume ?? Number.NaN)
    all?.push(took)
    hand?.push(theirs)
  }
  say("resume, spawn", spawned ?? [])
  say("resume, load", loaded ?? [])
  say("resume, cont", resumed ?? [])
  const ours = say("resume, checks + spawn + load + cont", all ?? [])
  ratio("  all", ours, say("  by hand", hand ?? []), 1.15)
}

try {
  const [one, two] = [await boot(), await boot()]
  await snapshots("a cold-booted 256 MiB Linux", one, two)
  await Promise.all([one, await vmm.adopt(two.record)].map((machine) => machine.stop({ graceMs: 0 })))
  const [first] = kept
  if (!first) throw new Error("there is no snapshot")
  await resumes(first)
  const layers = [...base, { path: first.disk?.frozen ?? "", format: "qcow2" as const }]
  const clone = async () => {
    const machine = await (await vmm.load?.(await resumePlan(first.origin, layers)))?.resume()
    if (!machine) throw new Error("the VMM cannot load")
    machines.push(machine)
    return machine
  }
  await snapshots("a clone", await clone(), await clone())
} finally {
  await Promise.all(machines.map(({ record }) => kill(record)))
  await rm(root, { recursive: true, force: true })
}
