// How long it takes until a snapshot runs: with a warm slot and without, beside the same command line by hand; beside a
// boot; with a network; and out of a registry with nothing here. `make bench-restore`.
import { mkdir, readFile, rm } from "node:fs/promises"
import { join } from "node:path"
import { packGuest } from "@ovms/testkit/image.ts"
import { startRegistry } from "@ovms/testkit/registry.ts"
import { connect } from "../packages/ovm/src/api/client.ts"
import { createOverlay } from "../packages/ovm/src/disk/overlay.ts"
import type { Runtime } from "../packages/ovm/src/runtime/interfaces.ts"
import { loadByHand } from "./by-hand.ts"
import { MACHINE, OVM, output, untilSaid, withHome } from "./programs.ts"
import { compare, goal, spread } from "./turns.ts"

const ROUNDS = 50
const FEW = 5
const DISK = 1 << 20

/**
 * Starts it and waits until it runs; milliseconds. Where the answer does not say so already, how long it took is what
 * the status says, from the arrival of the request: asking often enough to know it from outside would take the time of
 * the same two cores.
 */
async function running(runtime: Runtime, manifest: string) {
  const began = performance.now()
  const { instance_id, status } = await runtime.start({ manifest })
  if (status === "running") return { instance_id, took: performance.now() - began }
  for (;;) {
    await Bun.sleep(10)
    const { state, timings_ms } = await runtime.status(instance_id)
    if (state === "running") return { instance_id, took: timings_ms.total ?? Number.NaN }
    if (state !== "starting") throw new Error(`the machine is ${state}`)
  }
}

/** Until the console has `words`, or anything; milliseconds since `began`. */
async function said(runtime: Runtime, id: string, began: number, words = ""): Promise<number> {
  await untilSaid(await runtime.logs(id, { follow: true }), words)
  return performance.now() - began
}

async function full(runtime: Runtime): Promise<void> {
  while (!(await runtime.info()).warm.every(({ ready, wanted }) => ready === wanted)) await Bun.sleep(5)
}

/** A daemon and its snapshots of the bare-metal guest, so that nothing but the resume itself is measured. */
interface Host {
  readonly runtime: Runtime
  readonly home: string
  readonly times: Record<"allow" | "deny" | "resume" | "without" | "hand", number[]>
}

const [WARM, ONCE] = ["localhost/bench/warm:warm", "localhost/bench/warm:once"]

/** One whose machines have no network, or the one that they have by default. */
async function withHost(network: "none" | "user", use: (host: Host) => Promise<void>): Promise<void> {
  await withHome(async (env, home) => {
    await Bun.write(join(home, "daemon.json"), JSON.stringify({ defaults: { network } }))
    output([OVM, "daemon", "--detach"], env)
    const runtime = connect(join(home, "ovm.sock"))
    const base = "localhost/bench/warm:1"
    const disk = join(home, "disk.raw")
    await Bun.write(disk, Buffer.alloc(DISK))
    await packGuest(join(home, "store"), base, "tick_ms=20 hlt=1", {
      diskLayers: [{ path: disk, format: "raw" }],
    })
    const { instance_id } = await running(runtime, base)
    await said(runtime, instance_id, 0, "TICK")
    await runtime.snapshot({ instance_id, tag: "warm" })
    await runtime.snapshot({ instance_id, tag: "once", multi_resume: "deny" })
    await runtime.remove(instance_id, { force: true })
    await use({ runtime, home, times: { allow: [], deny: [], resume: [], without: [], hand: [] } })
  })
}

async function fromSlot({ runtime, home, times }: Host, policy: "allow" | "deny", name: string) {
  await full(runtime)
  const { instance_id: id, took } = await running(runtime, name)
  const { resume = Number.NaN, spawn } = (await runtime.status(id)).timings_ms
  if (spawn !== undefined) throw new Error("there was no slot")
  await runtime.remove(id, { force: true })
  // It may be resumed once: for the next round that is forgotten.
  if (policy === "deny") {
    await rm(join(home, "resumed"), { recursive: true })
    await runtime.warm({ manifest: name, slots: 1 })
  }
  times[policy].push(took)
  if (policy === "allow") times.resume.push(resume)
}

/** Gives the command line of the machine, which is gone. */
async function withoutSlot({ runtime, home, times }: Host) {
  const { instance_id: id, took } = await running(runtime, WARM)
  const folder = join(home, "instances", id)
  const [pid] = (await readFile(join(folder, "pid"), "utf8")).split(" ")
  const argv = (await readFile(`/proc/${pid}/cmdline`, "utf8")).split("\0").slice(0, -1)
  await runtime.remove(id, { force: true })
  times.without.push(took)
  return (hand: string) => argv.map((word) => word.replaceAll(folder, hand))
}

async function byHand({ home, times }: Host, argvIn: (hand: string) => readonly string[]): Promise<void> {
  const hand = join(home, "hand")
  await mkdir(hand, { recursive: true })
  await rm(join(hand, "overlay.qcow2"), { force: true })
  await createOverlay(join(hand, "overlay.qcow2"), DISK)
  const theirs = await loadByHand(argvIn(hand), hand, await readFile(await stateOf(home, WARM)))
  theirs.end()
  times.hand.push(theirs.took)
}

async function slots(bare: Host, networked: Host): Promise<void> {
  const hosts = [bare, networked]
  for (const [policy, name] of [
    ["allow", WARM],
    ["deny", ONCE],
  ] as const) {
    for (const { runtime } of hosts) await runtime.warm({ manifest: name, slots: 1 })
    for (let round = 0; round <= ROUNDS; round++) for (const host of hosts) await fromSlot(host, policy, name)
    for (const { runtime } of hosts) await runtime.warm({ manifest: name, slots: 0 })
  }
  for (let round = 0; round <= ROUNDS; round++) {
    for (const host of hosts) await byHand(host, await withoutSlot(host))
  }
  // The first of each warms caches.
  for (const times of hosts.flatMap((host) => Object.values(host.times))) times.shift()
  const { allow, resume, deny, without, hand } = bare.times
  goal("POST /start to running, warm slot", allow, 2, 10)
  spread("  of which the VMM's `cont`", resume)
  spread("the same of a snapshot that may be resumed once, which is brought to the disk first", deny)
  compare(
    "POST /start to running, no slot",
    without,
    { name: "spawn + load + cont by hand", took: hand },
    1.15,
  )
  const none = "without a network"
  compare("with a network, warm slot", networked.times.allow, { name: none, took: allow }, 1)
  compare("with a network, no slot", networked.times.without, { name: none, took: without }, 1)
  const same = { name: "by hand, with a passt of its own", took: networked.times.hand }
  compare("with a network, no slot", networked.times.without, same, 1.15)
}

/** The file of a snapshot's device state. */
async function stateOf(home: string, name: string): Promise<string> {
  const { snapshot } = JSON.parse(
    output([OVM, "inspect", "--json", name], { ...process.env, OVM_HOME: home }),
  )
  return join(home, "store/blobs/sha256", (snapshot.state.ref as string).slice("sha256:".length))
}

/** A Debian: its first word after a resume, and after a boot. */
async function firstWords(runtime: Runtime, env: NodeJS.ProcessEnv, host: string): Promise<void> {
  const [base, warm] = [`${host}/bench/debian:1`, `${host}/bench/debian:warm`]
  output([OVM, "pack", "-f", join(MACHINE, "machine.json"), "-t", base], env)
  const args = "console=ttyS0 root=/dev/vda rw quiet panic=-1 no_timer_check ovm.count"
  const began = performance.now()
  const { instance_id } = await runtime.start({ manifest: base, overrides: { args } })
  await said(runtime, instance_id, began, "OVM-COUNT 3")
  await runtime.snapshot({ instance_id, tag: "warm" })
  await runtime.remove(instance_id, { force: true })
  const [resumed, booted]: [number[], number[]] = [[], []]
  for (let round = 0; round <= FEW; round++)
    for (const [manifest, words, times] of [
      [warm, "", resumed],
      [base, "OVM-USERSPACE", booted],
    ] as const) {
      const start = performance.now()
      const { instance_id: id } = await runtime.start({ manifest })
      const took = await said(runtime, id, start, words)
      await runtime.remove(id, { force: true })
      if (round > 0) times.push(took)
    }
  spread("POST /start to the guest's first output, resumed (it speaks five times a second)", resumed)
  spread("  booted", booted)
  output([OVM, "push", base], env)
  output([OVM, "push", warm], env)
}

/** On hosts that have nothing. */
async function fromRegistry(host: string): Promise<void> {
  const ways = [
    {
      what: "out of a registry, nothing here, to running vCPUs",
      name: `${host}/bench/debian:warm`,
      words: undefined,
    },
    {
      what: "  its base, pulled and booted to userspace",
      name: `${host}/bench/debian:1`,
      words: "OVM-USERSPACE",
    },
  ].map((way) => ({ ...way, times: [] as number[], size: 0 }))
  for (let round = 0; round <= FEW; round++)
    for (const way of ways)
      await withHome(async (env, home) => {
        output([OVM, "daemon", "--detach"], env)
        const runtime = connect(join(home, "ovm.sock"))
        const began = performance.now()
        const { instance_id } = JSON.parse(output([OVM, "run", "-d", "--json", way.name], env))
        if (way.words) await said(runtime, instance_id, began, way.words)
        if (round > 0) way.times.push(performance.now() - began)
        way.size = JSON.parse(output([OVM, "info", "--json"], env)).store_size
        await runtime.remove(instance_id, { force: true })
      })
  for (const { what, times, size } of ways) {
    spread(what, times)
    console.log(`    ${(size / (1 << 20)).toFixed(1)} MiB moved`)
  }
}

await withHost("none", (bare) => withHost("user", (networked) => slots(bare, networked)))
await using registry = await startRegistry()
await withHome(async (env, home) => {
  output([OVM, "daemon", "--detach"], env)
  const runtime = connect(join(home, "ovm.sock"))
  await firstWords(runtime, env, registry.host)
})
await fromRegistry(registry.host)
