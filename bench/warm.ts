// How long POST /start takes over the socket until the machine runs, with a warm slot and without, in turns.
// `make bench-warm`. The bare-metal guest, so that nothing but the resume itself is measured.
import { join } from "node:path"
import { connect } from "../packages/ovm/src/api/client.ts"
import type { Runtime } from "../packages/ovm/src/runtime/interfaces.ts"
import { packGuest } from "../packages/testkit/src/image.ts"
import { OVM, output, withHome } from "./programs.ts"
import { median } from "./turns.ts"

const ROUNDS = 50
const BASE = "localhost/bench/warm:1"
const WARM = "localhost/bench/warm:warm"

interface Times {
  /** Milliseconds from the request until the machine runs. */
  readonly all: number
  /** Within it, what the VMM itself took to let the guest go: the least that a start can take. */
  readonly resume: number
}

/** The answer itself says that the machine runs if a slot was taken. */
async function started(runtime: Runtime, overrides: { vcpus?: number } = {}): Promise<Times> {
  const began = performance.now()
  const { instance_id, status } = await runtime.start({ manifest: WARM, overrides })
  let state: string = status
  while (state === "starting") state = (await runtime.status(instance_id)).state
  const all = performance.now() - began
  if (state !== "running") throw new Error(`the machine is ${state}`)
  const { resume = Number.NaN } = (await runtime.status(instance_id)).timings_ms
  await runtime.remove(instance_id, { force: true })
  return { all, resume }
}

async function full(runtime: Runtime): Promise<void> {
  for (;;) {
    const { warm } = await runtime.info()
    if (warm.every(({ ready, wanted }) => ready === wanted)) return
    await Bun.sleep(5)
  }
}

function say(what: string, values: readonly number[]): readonly [number, number] {
  const sorted = values.toSorted((a, b) => a - b)
  const [p50, p99] = [median(values), sorted[Math.ceil(sorted.length * 0.99) - 1] ?? Number.NaN]
  console.log(`${what}: p50 ${p50.toFixed(2)} ms, p99 ${p99.toFixed(2)} ms`)
  return [p50, p99]
}

await withHome(async (env, home) => {
  await packGuest(join(home, "store"), BASE, "tick_ms=20")
  output([OVM, "daemon", "--detach"], env)
  const runtime = connect(join(home, "ovm.sock"))
  const { instance_id } = await runtime.start({ manifest: BASE })
  let text = ""
  for await (const bytes of await runtime.logs(instance_id, { follow: true })) {
    text += Buffer.from(bytes).toString()
    if (text.includes("TICK")) break
  }
  await runtime.snapshot({ instance_id, tag: "warm" })
  await runtime.remove(instance_id, { force: true })
  await runtime.warm({ manifest: WARM, slots: 1 })
  const [slots, without]: [Times[], Times[]] = [[], []]
  for (let round = 0; round <= ROUNDS; round++) {
    await full(runtime)
    const warm = await started(runtime)
    await full(runtime)
    // An override that changes nothing, and so takes the long way.
    const cold = await started(runtime, { vcpus: 1 })
    // The first round of each warms caches.
    if (round === 0) continue
    slots.push(warm)
    without.push(cold)
  }
  const all = slots.map((times) => times.all)
  const [p50, p99] = say("POST /start to running, warm slot", all)
  say(
    "  of which the VMM's `cont`",
    slots.map(({ resume }) => resume),
  )
  say(
    "  and all else: socket, names, record",
    slots.map(({ all, resume }) => all - resume),
  )
  const [longer] = say(
    "the same snapshot, no slot",
    without.map((times) => times.all),
  )
  const verdict = p50 <= 2 && p99 <= 10 ? "holds" : "MISSED"
  console.log(
    `goal p50 2 ms, p99 10 ms: ${verdict}; ${(longer / p50).toFixed(0)} times as fast as without a slot`,
  )
})
