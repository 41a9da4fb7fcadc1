// How long a fork takes until all children run, beside the pause of one snapshot and as many starts of the same command
// line by hand, all at once, whose machines yield as ovm's do. `make bench-fork`.
import { rm } from "node:fs/promises"
import { join } from "node:path"
import { packGuest } from "@ovms/testkit/image.ts"
import { connect } from "../packages/ovm/src/api/client.ts"
import { type CloneRecipe, cloneByHand, cloneRecipe } from "./clone-by-hand.ts"
import { OVM, output, untilSaid, withHome } from "./programs.ts"
import { compare, spread } from "./turns.ts"
import { type Watched, watched } from "./watched.ts"

const CHILDREN = 20
const ROUNDS = 10
const DISK = 1 << 20

/** Without a network, which would need a passt by hand as well. */
const SETTINGS = { limits: { running: 2 * CHILDREN }, defaults: { network: "none" } }

const [base, warm] = ["localhost/bench/fork:1", "localhost/bench/fork:warm"]

/** Of one fork: until it was answered, and until all children run, in milliseconds. */
async function forked({ runtime, runs }: Watched, source: string) {
  const began = performance.now()
  const { instances } = await runtime.fork(source, { count: CHILDREN })
  const answered = performance.now() - began
  await Promise.all(instances.map(({ instance_id }) => runs(instance_id)))
  const took = performance.now() - began
  for (const { instance_id } of instances) await runtime.remove(instance_id, { force: true })
  return { answered, took }
}

async function byHand(recipe: CloneRecipe, home: string): Promise<number> {
  const own = Array.from({ length: CHILDREN }, (_, nth) => join(home, `hand-${nth}`))
  const began = performance.now()
  const clones = await Promise.all(own.map((folder) => cloneByHand(recipe, folder, DISK)))
  const took = performance.now() - began
  for (const { loaded } of clones) loaded.end()
  for (const folder of own) await rm(folder, { recursive: true })
  return took
}

await withHome(async (env, home) => {
  const disk = join(home, "disk.raw")
  await Bun.write(disk, Buffer.alloc(DISK))
  await packGuest(join(home, "store"), base, "tick_ms=1000 hlt=1", {
    diskLayers: [{ path: disk, format: "raw" }],
    resources: { vcpus: 1, memory: 32 << 20 },
  })
  await Bun.write(join(home, "daemon.json"), JSON.stringify(SETTINGS))
  output([OVM, "daemon", "--detach"], env)
  const runtime = connect(join(home, "ovm.sock"))
  const over = new AbortController()
  const daemon = await watched(runtime, over.signal)
  const { instance_id: source } = await runtime.start({ manifest: base })
  await untilSaid(await runtime.logs(source, { follow: true }), "TICK")
  const [ours, answers, hand]: number[][] = [[], [], []]
  for (let round = 0; round <= ROUNDS; round++) {
    const { timings_ms } = await runtime.snapshot({ instance_id: source, tag: "warm" })
    const recipe = await cloneRecipe(daemon, home, warm)
    const starts = await byHand(recipe, home)
    const { took, answered } = await forked(daemon, source)
    // The first of each warms caches.
    if (round === 0) continue
    hand?.push(starts + (timings_ms?.paused ?? Number.NaN))
    ours?.push(took)
    answers?.push(answered)
  }
  over.abort()
  const theirs = { name: "pause of a snapshot, and as many starts by hand", took: hand ?? [] }
  compare(`fork of ${CHILDREN}, until all run`, ours ?? [], theirs, 1.2)
  spread("  until it is answered", answers ?? [])
})
