// How long a daemon that was killed takes until its successor has all its machines again, beside a bare connection to
// the monitor of each and one question. `make bench-adopt`; with `BENCH=busy` the guests burn all the processor time
// that they get.
import { type ChildProcess, spawn } from "node:child_process"
import { readdir } from "node:fs/promises"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { packGuest } from "@ovms/testkit/image.ts"
import { connect } from "../packages/ovm/src/api/client.ts"
import type { InstanceInfo, Runtime } from "../packages/ovm/src/runtime/interfaces.ts"
import { monitor } from "./by-hand.ts"
import { OVM, withHome } from "./programs.ts"
import { inTurns, median } from "./turns.ts"

const MACHINES = 50
const ROUNDS = 5
/** What a daemon's restart may take until all machines are adopted, in ms. */
const BOUND_MS = 1500
const BUSY = process.argv.includes("busy")

/** Asks until `done`; a daemon that does not answer yet is asked again. */
async function until(runtime: Runtime, done: (all: readonly InstanceInfo[]) => boolean): Promise<void> {
  for (;;) {
    const all = await runtime.list().catch(() => undefined)
    if (all && done(all)) return
    await sleep(2)
  }
}

const isAdopted = ({ state, reachable }: InstanceInfo) => state === "running" && reachable === undefined

async function end(daemon: ChildProcess): Promise<void> {
  const ended = new Promise((resolve) => daemon.once("exit", resolve))
  daemon.kill("SIGKILL")
  await ended
}

await withHome(async (env, home) => {
  await packGuest(join(home, "store"), "bench:1", BUSY ? "tick_ms=0" : "tick_ms=60000 hlt=1")
  const runtime = connect(join(home, "ovm.sock"))
  const start = () => spawn(OVM, ["daemon"], { env, stdio: "ignore" })
  let daemon = start()
  await until(runtime, () => true)
  for (let count = 0; count < MACHINES; count++) await runtime.start({ manifest: "bench:1" })
  await until(runtime, (all) => all.every(isAdopted))
  await end(daemon)

  const answers: number[] = []
  const restart = async () => {
    const began = performance.now()
    daemon = start()
    await until(runtime, () => true)
    answers.push(performance.now() - began)
    await until(runtime, (all) => all.length === MACHINES && all.every(isAdopted))
    const took = performance.now() - began
    await end(daemon)
    return took
  }
  const byHand = async () => {
    const folders = (await readdir(join(home, "instances"))).map((id) => join(home, "instances", id))
    const began = performance.now()
    const monitors = await Promise.all(
      folders.map(async (folder) => {
        const qmp = await monitor(folder)
        await qmp.execute("query-status")
        return qmp
      }),
    )
    const took = performance.now() - began
    for (const qmp of monitors) qmp.close()
    return took
  }
  const [ours = 0, theirs = 0] = await inTurns(ROUNDS, restart, byHand)
  const what = `a daemon's restart until ${MACHINES} ${BUSY ? "busy" : "idle"} machines are adopted`
  const verdict = ours <= BOUND_MS ? "holds" : "MISSED"
  const ratio = (ours / theirs).toFixed(1)
  console.log(`${what}: ${ours.toFixed(0)} ms (bound ${BOUND_MS} ms: ${verdict}),`)
  console.log(`  their monitors by hand: ${theirs.toFixed(0)} ms, ratio ${ratio}`)
  console.log(`  the API answers after ${median(answers).toFixed(0)} ms`)

  daemon = start()
  await until(runtime, () => true)
  for (const { instance_id } of await runtime.list()) await runtime.remove(instance_id, { force: true })
  await end(daemon)
})
