// What commands, copies and sandboxes cost beside the bare channel to the same agent, and what many of them leave
// behind: each part for its share of the seconds that there are, which says how much was done in them. `make
// bench-inside`; BENCH="1800 256" gives it half an hour, and copies 256 MiB.
import { rm } from "node:fs/promises"
import { join } from "node:path"
import { connect } from "../packages/ovm/src/api/client.ts"
import type { Runtime } from "../packages/ovm/src/runtime/interfaces.ts"
import { AgentByHand } from "./agent-by-hand.ts"
import { type CloneRecipe, cloneRecipe, waitingClone } from "./clone-by-hand.ts"
import { left, reportLeft } from "./left.ts"
import { MACHINE, OVM, output, untilSaid, withHome } from "./programs.ts"
import { sameGuest } from "./same-guest.ts"
import { again, bound, median, spread, timed } from "./turns.ts"
import { watched } from "./watched.ts"

const [, , seconds = "120", mib = "2"] = process.argv
const SECONDS = Number(seconds)
const SHARES = { guest: 0.35, single: 0.25, rate: 0.1, more: 0.15, look: 0.02 }
const AT_A_TIME = 20
/** Of the demo machine. */
const DISK = 64 << 20
const READY = "bench:ready"
const SETTINGS = { limits: { running: 100 }, defaults: { network: "none" } }

/** What a guest needs by itself, from its first instruction to the end of a command, in milliseconds. */
async function ownTime(recipe: CloneRecipe, home: string): Promise<number> {
  const own = join(home, `hand-${crypto.randomUUID()}`)
  const waiting = await waitingClone(recipe, own, DISK)
  const took = await timed(async () => {
    await waiting.go()
    const agent = await AgentByHand.open(own)
    await agent.do(["reseed", `seed=${"00".repeat(32)}`])
    await agent.do(["time", `time=${Date.now()}000000`])
    await agent.do(["hooks", "event=post-resume", "name=hand"])
    await agent.do(["exec", "argument=true"])
    agent.close()
  })
  waiting.end()
  await rm(own, { recursive: true })
  return took
}

/** Once every machine that is to wait does. */
async function settled(runtime: Runtime): Promise<void> {
  while (!(await runtime.info()).warm.every(({ ready, wanted }) => ready === wanted)) await Bun.sleep(20)
}

/** Some at a time, as many as can be in that time: how many, and how many a second. */
async function many(share: number, loop: () => Promise<unknown>): Promise<{ count: number; rate: number }> {
  let count = 0
  const worker = () =>
    again(SECONDS * share, async () => {
      await loop()
      count++
    })
  const took = await timed(() => Promise.all(Array.from({ length: AT_A_TIME }, worker)))
  return { count, rate: (count * 1000) / took }
}

/** Machines one after the other, by turns from a slot and by hand; the parts of the first as ovm says them. */
async function single(runtime: Runtime, byHand: () => Promise<number>): Promise<void> {
  const [ours, own]: [number[], number[]] = [[], []]
  const parts = new Map<string, number[]>()
  await again(SECONDS * SHARES.single, async () => {
    // Not while the next slot is made.
    await settled(runtime)
    const began = performance.now()
    const { timings_ms } = await sandbox(runtime)
    ours.push(performance.now() - began)
    for (const [part, took] of Object.entries(timings_ms)) parts.set(part, [...(parts.get(part) ?? []), took])
    await settled(runtime)
    own.push(await byHand())
  })
  const more = spread("a sandbox from a slot", ours) - spread("  the guest's own time", own)
  bound("  more than that", more, 20, "ms")
  for (const [part, times] of parts) console.log(`  of it ${part}: p50 ${median(times).toFixed(1)} ms`)
}

const sandbox = (runtime: Runtime) => runtime.sandbox({ manifest: READY, command: ["true"] })

/** The demo machine, once its agent has said that it is there; a snapshot of it is called READY. */
async function booted(runtime: Runtime): Promise<string> {
  const { instance_id: id } = await runtime.start({ manifest: "bench:1", overrides: { agent: true } })
  await untilSaid(await runtime.logs(id, { follow: true }), "OVM-DISK")
  await runtime.ready(id, { timeoutMs: 200_000 })
  const rss = "grep VmRSS /proc/$PPID/status; mount -t tmpfs files /mnt"
  const { stdout } = await runtime.exec(id, { command: ["sh", "-c", rss] })
  bound("the agent's memory", Number(/\d+/.exec(stdout)?.[0]), 1024, "KiB")
  await runtime.snapshot({ instance_id: id, tag: "ready" })
  return id
}

await withHome(async (env, home) => {
  await Bun.write(join(home, "daemon.json"), JSON.stringify(SETTINGS))
  output([OVM, "pack", "-f", join(MACHINE, "machine.json"), "-t", "bench:1"], env)
  output([OVM, "daemon", "--detach"], env)
  const id = await booted(connect(join(home, "ovm.sock")))
  output([OVM, "daemon", "--stop"], env)
  await sameGuest({ home, env, id }, Number(mib), SECONDS * SHARES.guest)

  const pid = Number(output([OVM, "daemon", "--detach"], env))
  const runtime = connect(join(home, "ovm.sock"))
  await runtime.remove(id, { force: true })
  const over = new AbortController()
  const recipe = await cloneRecipe(await watched(runtime, over.signal), home, READY)
  over.abort()
  await runtime.warm({ manifest: READY, slots: 1 })
  await single(runtime, () => ownTime(recipe, home))

  await runtime.warm({ manifest: READY, slots: AT_A_TIME })
  await settled(runtime)
  const ours = await many(SHARES.rate, () => sandbox(runtime))
  await settled(runtime)
  const hand = await many(SHARES.rate, () => ownTime(recipe, home))
  const both = `${ours.rate.toFixed(1)} a second (${ours.count}), by hand ${hand.rate.toFixed(1)} (${hand.count})`
  console.log(
    `${AT_A_TIME} at a time: ${both}, ratio ${(ours.rate / hand.rate).toFixed(2)} (goal 40 a second)`,
  )
  const some = (share: number) => async () => {
    const { count } = await many(share, () => sandbox(runtime))
    await settled(runtime)
    return count
  }
  const looked = () => left(pid, home, some(SHARES.look))
  const before = await looked()
  const count = await some(SHARES.more)()
  reportLeft(`${count} more`, before, await looked())
})
