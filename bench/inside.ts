// What commands, copies and sandboxes cost beside the bare channel to the same agent, and what many of them leave
// behind. `make bench-inside`; BENCH="200 32" makes it two hundred loops,
// and copies of 32 MiB.
import { rm } from "node:fs/promises"
import { join } from "node:path"
import { connect } from "../packages/ovm/src/api/client.ts"
import { tarMember } from "../packages/ovm/src/content/archive/member.ts"
import { TAR_END } from "../packages/ovm/src/content/archive/tar.ts"
import type { Runtime } from "../packages/ovm/src/runtime/interfaces.ts"
import { AgentByHand } from "./agent-by-hand.ts"
import { type CloneRecipe, cloneRecipe, waitingClone } from "./clone-by-hand.ts"
import { left, reportLeft } from "./left.ts"
import { MACHINE, OVM, output, untilSaid, withHome } from "./programs.ts"
import { inTurns, median, report, spread } from "./turns.ts"
import { watched } from "./watched.ts"

const [, , loops = "1000", mib = "256"] = process.argv
const LOOPS = Number(loops)
const COPIED = Number(mib) << 20
const AT_A_TIME = 20
const COMMANDS = 100
const RUNS = 30
const ROUNDS = 3
/** Of the demo machine. */
const DISK = 64 << 20
/** By then the connections that this program keeps are closed. */
const UNKEPT_MS = 25_000
const READY = "bench:ready"
const TRUE = ["exec", "argument=true"]
const SETTINGS = { limits: { running: 100 }, defaults: { network: "none" } }

/** Milliseconds of `work`. */
async function timed(work: () => Promise<unknown>): Promise<number> {
  const began = performance.now()
  await work()
  return performance.now() - began
}

async function* zeros(): AsyncGenerator<Uint8Array> {
  yield tarMember("copied", COPIED, {})
  const piece = new Uint8Array(1 << 20)
  for (let at = 0; at < COPIED; at += piece.length) yield piece
  yield TAR_END
}

/** The same guest by turns: the daemon's, and, while there is none, by hand. */
async function sameGuest(home: string, env: NodeJS.ProcessEnv, id: string): Promise<void> {
  const folder = join(home, "instances", id)
  const [ours, hand]: { commands: number[]; into: number[]; out: number[] }[] = [1, 2].map(() => ({
    commands: [],
    into: [],
    out: [],
  }))
  for (let round = 0; round < ROUNDS; round++) {
    output([OVM, "daemon", "--detach"], env)
    const runtime = connect(join(home, "ovm.sock"))
    await runtime.ready(id, { timeoutMs: 60_000 })
    for (let nth = 0; nth < COMMANDS; nth++)
      ours?.commands.push(await timed(() => runtime.exec(id, { command: ["true"] })))
    ours?.into.push(await timed(() => runtime.writeFiles(id, { path: "/mnt", content: zeros() })))
    ours?.out.push(await timed(() => drained(runtime, id)))
    output([OVM, "daemon", "--stop"], env)
    const agent = await AgentByHand.open(folder)
    for (let nth = 0; nth < COMMANDS; nth++) hand?.commands.push(await timed(() => agent.do(TRUE)))
    hand?.into.push(await timed(() => agent.do(["write", "path=/mnt"], zeros())))
    hand?.out.push(await timed(() => agent.do(["read", "path=/mnt/copied"])))
    agent.close()
  }
  if (!ours || !hand) return
  const [mine, theirs] = [spread("exec true", ours.commands), spread("  by hand", hand.commands)]
  verdict("  more than by hand", mine - theirs, 5, "ms")
  for (const way of ["into", "out"] as const)
    report(`${mib} MiB ${way}`, median(ours[way]), { name: "bare channel", took: median(hand[way]) }, 1 / 0.8)
}

async function drained(runtime: Runtime, id: string): Promise<void> {
  for await (const _ of await runtime.readFiles(id, { path: "/mnt/copied" }));
}

function verdict(what: string, value: number, bound: number, unit: string): void {
  console.log(`${what}: ${value.toFixed(1)} ${unit} (bound ${bound}: ${value <= bound ? "holds" : "MISSED"})`)
}

/** What a guest needs by itself, from its first instruction to the end of a command, in milliseconds. */
async function ownTime(recipe: CloneRecipe, home: string): Promise<number> {
  const own = join(home, `hand-${crypto.randomUUID()}`)
  const waiting = await waitingClone(recipe, own, DISK)
  const began = performance.now()
  await waiting.go()
  const agent = await AgentByHand.open(own)
  const seed = "00".repeat(32)
  await agent.do(["reseed", `seed=${seed}`])
  await agent.do(["time", `time=${Date.now()}000000`])
  await agent.do(["hooks", "event=post-resume", "name=hand"])
  await agent.do(TRUE)
  const took = performance.now() - began
  agent.close()
  waiting.end()
  await rm(own, { recursive: true })
  return took
}

/** One with a machine that waits already. */
async function fromSlot(runtime: Runtime): Promise<number> {
  while (!(await runtime.info()).warm.some(({ ready }) => ready > 0)) await Bun.sleep(5)
  return await timed(() => runtime.sandbox({ manifest: READY, command: ["true"] }))
}

/** So many, some at a time; loops a second. */
async function many(count: number, loop: () => Promise<unknown>): Promise<number> {
  let next = 0
  const worker = async () => {
    while (next++ < count) await loop()
  }
  const took = await timed(() => Promise.all(Array.from({ length: AT_A_TIME }, worker)))
  return (count * 1000) / took
}

await withHome(async (env, home) => {
  await Bun.write(join(home, "daemon.json"), JSON.stringify(SETTINGS))
  output([OVM, "pack", "-f", join(MACHINE, "machine.json"), "-t", "bench:1"], env)
  output([OVM, "daemon", "--detach"], env)
  const first = connect(join(home, "ovm.sock"))
  const { instance_id: id } = await first.start({
    manifest: "bench:1",
    overrides: { agent: true, memory: 1 << 30 },
  })
  await untilSaid(await first.logs(id, { follow: true }), "OVM-DISK")
  await first.ready(id, { timeoutMs: 200_000 })
  await first.exec(id, { command: ["mount", "-t", "tmpfs", "-o", "size=600m", "files", "/mnt"] })
  const { stdout } = await first.exec(id, { command: ["sh", "-c", "grep VmRSS /proc/$PPID/status"] })
  verdict("the agent's memory", Number(/\d+/.exec(stdout)?.[0]), 1024, "KiB")
  const { instance_id: source } = await first.start({ manifest: "bench:1", overrides: { agent: true } })
  await untilSaid(await first.logs(source, { follow: true }), "OVM-DISK")
  await first.ready(source, { timeoutMs: 200_000 })
  await first.snapshot({ instance_id: source, tag: "ready" })
  await first.remove(source, { force: true })
  output([OVM, "daemon", "--stop"], env)
  await sameGuest(home, env, id)

  const pid = Number(output([OVM, "daemon", "--detach"], env))
  const runtime = connect(join(home, "ovm.sock"))
  await runtime.remove(id, { force: true })
  const over = new AbortController()
  const recipe = await cloneRecipe(await watched(runtime, over.signal), home, READY)
  over.abort()
  await runtime.warm({ manifest: READY, slots: 1 })
  const [ours = 0, hand = 0] = await inTurns(
    RUNS,
    () => fromSlot(runtime),
    () => ownTime(recipe, home),
  )
  console.log(`a sandbox from a slot: ${ours.toFixed(1)} ms; the guest's own time: ${hand.toFixed(1)} ms`)
  verdict("  more than that", ours - hand, 20, "ms")
  await runtime.warm({ manifest: READY, slots: AT_A_TIME })
  const loop = () => runtime.sandbox({ manifest: READY, command: ["true"] })
  const rates = [await many(100, loop), await many(100, () => ownTime(recipe, home))]
  console.log(
    `${AT_A_TIME} at a time: ${rates[0]?.toFixed(1)} a second, by hand ${rates[1]?.toFixed(1)} (goal 40)`,
  )
  await runtime.warm({ manifest: READY, slots: 0 })

  await many(LOOPS / 5, loop)
  const settled = async () => {
    while ((await runtime.info()).warm.length > 0) await Bun.sleep(500)
    await Bun.sleep(UNKEPT_MS)
    return left(pid, home)
  }
  const before = await settled()
  await many(LOOPS, loop)
  reportLeft(`${LOOPS} loops`, before, await settled())
})
