// How long a daemon that was killed takes until its successor has all its machines again, beside a bare connection to
// the monitor of each and one question. `make bench-adopt`; with `BENCH=busy` the guests burn all the processor time
// that they get.
import { readdir } from "node:fs/promises"
import { join } from "node:path"
import { packGuest } from "@ovms/testkit/image.ts"
import { connect } from "../packages/ovm/src/api/client.ts"
import { monitor } from "./by-hand.ts"
import { isAdopted, killDaemon, startDaemon, untilListed } from "./daemons.ts"
import { withHome } from "./programs.ts"
import { inTurns, median } from "./turns.ts"

const MACHINES = 50
const ROUNDS = 5
/** What a daemon's restart may take until all machines are adopted, in ms. */
const BOUND_MS = 1500
const BUSY = process.argv.includes("busy")

await withHome(async (env, home) => {
  await packGuest(join(home, "store"), "bench:1", BUSY ? "tick_ms=0" : "tick_ms=60000 hlt=1")
  const runtime = connect(join(home, "ovm.sock"))
  let daemon = startDaemon(env)
  await untilListed(runtime, () => true)
  for (let count = 0; count < MACHINES; count++) await runtime.start({ manifest: "bench:1" })
  await untilListed(runtime, (all) => all.every(isAdopted))
  await killDaemon(daemon)

  const answers: number[] = []
  const restart = async () => {
    const began = performance.now()
    daemon = startDaemon(env)
    await untilListed(runtime, () => true)
    answers.push(performance.now() - began)
    await untilListed(runtime, (all) => all.length === MACHINES && all.every(isAdopted))
    const took = performance.now() - began
    await killDaemon(daemon)
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

  daemon = startDaemon(env)
  await untilListed(runtime, () => true)
  for (const { instance_id } of await runtime.list()) await runtime.remove(instance_id, { force: true })
  await killDaemon(daemon)
})
