// How many clones of one snapshot a second, twenty starts at a time: with warm slots and without, beside the same
// command line by hand, whose machines yield as ovm's do. `make bench-throughput`.
import { rm } from "node:fs/promises"
import { join } from "node:path"
import { packGuest } from "@ovms/testkit/image.ts"
import { connect } from "../packages/ovm/src/api/client.ts"
import type { Runtime } from "../packages/ovm/src/runtime/interfaces.ts"
import type { Loaded } from "./by-hand.ts"
import { type CloneRecipe, cloneByHand, cloneRecipe } from "./clone-by-hand.ts"
import { OVM, output, untilSaid, withHome } from "./programs.ts"
import { median, spread } from "./turns.ts"
import { running, type Watched, watched } from "./watched.ts"

const CLONES = 100
const AT_A_TIME = 20
const ROUNDS = 3
const DISK = 1 << 20
const BOUND = 0.9

/** Without a network, which would need a passt by hand as well. */
const SETTINGS = { limits: { running: CLONES + AT_A_TIME }, defaults: { network: "none" } }

const [base, warm] = ["localhost/bench/many:1", "localhost/bench/many:warm"]

/** What one way of starting took: machines a second of each round, and milliseconds of each start. */
interface Way {
  readonly rates: number[]
  readonly each: number[]
}

/** Has `start` done `CLONES` times, so many at a time; it gives its milliseconds. */
async function measure({ rates, each }: Way, start: (nth: number) => Promise<number>): Promise<void> {
  let next = 0
  const began = performance.now()
  const worker = async () => {
    while (next < CLONES) each.push(await start(next++))
  }
  await Promise.all(Array.from({ length: AT_A_TIME }, worker))
  rates.push((CLONES * 1000) / (performance.now() - began))
}

/** The instances are there until all of them are. */
async function ours(daemon: Watched, way: Way): Promise<void> {
  const ids: string[] = []
  await measure(way, async () => {
    const { id, took } = await running(daemon, warm)
    ids.push(id)
    return took
  })
  for (const id of ids) await daemon.runtime.remove(id, { force: true })
}

async function full(runtime: Runtime): Promise<void> {
  while (!(await runtime.info()).warm.every(({ ready, wanted }) => ready === wanted)) await Bun.sleep(20)
}

async function byHand(recipe: CloneRecipe, home: string, way: Way): Promise<void> {
  const started: Loaded[] = []
  const own = (nth: number) => join(home, `hand-${nth}`)
  await measure(way, async (nth) => {
    const { loaded, took } = await cloneByHand(recipe, own(nth), DISK)
    started.push(loaded)
    return took
  })
  for (const one of started) one.end()
  for (let nth = 0; nth < CLONES; nth++) await rm(own(nth), { recursive: true })
}

function report(what: string, way: Way, hand: Way): void {
  const [rate, theirs] = [median(way.rates), median(hand.rates)]
  const ratio = rate / theirs
  const verdict = ratio >= BOUND ? "holds" : "MISSED"
  console.log(
    `${what}: ${rate.toFixed(1)} machines a second, by hand ${theirs.toFixed(1)}, ratio ${ratio.toFixed(2)} (bound ${BOUND}: ${verdict})`,
  )
  spread("  each start", way.each)
}

await withHome(async (env, home) => {
  const disk = join(home, "disk.raw")
  await Bun.write(disk, Buffer.alloc(DISK))
  const content = {
    diskLayers: [{ path: disk, format: "raw" as const }],
    resources: { vcpus: 1, memory: 32 << 20 },
  }
  await packGuest(join(home, "store"), base, "tick_ms=1000 hlt=1", content)
  await Bun.write(join(home, "daemon.json"), JSON.stringify(SETTINGS))
  output([OVM, "daemon", "--detach"], env)
  const runtime = connect(join(home, "ovm.sock"))
  const { instance_id: source } = await runtime.start({ manifest: base })
  await untilSaid(await runtime.logs(source, { follow: true }), "TICK")
  await runtime.snapshot({ instance_id: source, tag: "warm" })
  await runtime.remove(source, { force: true })

  const over = new AbortController()
  const daemon = await watched(runtime, over.signal)
  const how = await cloneRecipe(daemon, home, warm)
  const [slots, without, hand]: Way[] = Array.from({ length: 3 }, () => ({ rates: [], each: [] }))
  for (let round = 0; round < ROUNDS; round++) {
    await runtime.warm({ manifest: warm, slots: AT_A_TIME })
    await full(runtime)
    if (slots) await ours(daemon, slots)
    await runtime.warm({ manifest: warm, slots: 0 })
    if (without) await ours(daemon, without)
    if (hand) await byHand(how, home, hand)
  }
  over.abort()
  if (!slots || !without || !hand) return
  report(`${CLONES} clones, ${AT_A_TIME} starts at a time, ${AT_A_TIME} warm slots`, slots, hand)
  report(`${CLONES} clones, ${AT_A_TIME} starts at a time, no slot`, without, hand)
  spread("  by hand, each start", hand.each)
})
