// What a guest's flushes cost: a machine that lives on, which honours them, beside the same command line by hand; and
// an ephemeral one, which need not. Part of `make bench-machine`.
import { mkdir, rm } from "node:fs/promises"
import { join } from "node:path"
import { packGuest } from "@ovms/testkit/image.ts"
import { connect } from "../packages/ovm/src/api/client.ts"
import { createOverlay } from "../packages/ovm/src/disk/overlay.ts"
import type { Runtime } from "../packages/ovm/src/runtime/interfaces.ts"
import { OVM, output, withHome } from "./programs.ts"
import { inTurns } from "./turns.ts"
import { type Recipe, recipeOf, runByHand } from "./vmm-by-hand.ts"

const ROUNDS = 5
/** From the start of a machine on, and how long it is looked at then, in ms. */
const SETTLED_MS = 1500
const LONG_MS = 3000
/** Of so many the guest says one: a console that is kept on the same disk is not what is measured here. */
const SAID = 500
const DISK = 64 << 20
const BOUND = 0.95

/** Flushes a second, once the start of the machine is over. */
async function rate(console: AsyncIterable<Uint8Array>): Promise<number> {
  const start = performance.now()
  let text = ""
  let first: { readonly at: number; readonly count: number } | undefined
  for await (const bytes of console) {
    text = (text + Buffer.from(bytes).toString("latin1")).slice(-10_000)
    const count = Number([...text.matchAll(/FLUSHED (\d+)\r/g)].at(-1)?.[1] ?? 0)
    const at = performance.now()
    if (count > 0 && at - start > SETTLED_MS) first ??= { at, count }
    if (first && at - first.at > LONG_MS && count > first.count)
      return ((count - first.count) * 1000) / (at - first.at)
  }
  throw new Error(`the machine ended: ${text}`)
}

await withHome(async (env, home) => {
  const disk = join(home, "disk.raw")
  await Bun.write(disk, Buffer.alloc(DISK))
  await packGuest(join(home, "store"), "flushes:1", `tick_ms=0 log=1 flush=1 say=${SAID}`, {
    diskLayers: [{ path: disk, format: "raw" }],
  })
  output([OVM, "daemon", "--detach"], env)
  const runtime: Runtime = connect(join(home, "ovm.sock"))
  let recipe: Recipe | undefined
  const kept = async () => {
    const { instance_id: id } = await runtime.start({ manifest: "flushes:1" })
    const found = await rate(await runtime.logs(id, { follow: true }))
    recipe ??= await recipeOf(join(home, "instances", id))
    await runtime.remove(id, { force: true })
    return found
  }
  const byHand = async () => {
    const own = join(home, "hand")
    await mkdir(own)
    await createOverlay(join(own, "overlay.qcow2"), DISK)
    const child = await runByHand(recipe as Recipe, own)
    const found = await rate(child.stdout as AsyncIterable<Uint8Array>)
    child.kill("SIGKILL")
    await rm(own, { recursive: true })
    return found
  }
  const ephemeral = async () => {
    const { instance_id: id } = await runtime.start({ manifest: "flushes:1", overrides: { ephemeral: true } })
    const found = await rate(await runtime.logs(id, { follow: true }))
    await runtime.remove(id, { force: true })
    return found
  }
  const times = await inTurns(ROUNDS, kept, byHand, ephemeral)
  const [ours = 0, theirs = 0, unflushed = 0] = times
  const verdict = ours / theirs >= BOUND ? "holds" : "MISSED"
  console.log(
    `flushed writes a second: ${ours.toFixed(0)}, by hand ${theirs.toFixed(0)}, ratio ${(ours / theirs).toFixed(2)} (bound ${BOUND}: ${verdict}); of an ephemeral machine ${unflushed.toFixed(0)}`,
  )
})
