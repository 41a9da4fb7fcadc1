// Two hundred tiny machines: how soon the daemon answers, what it needs of memory, and how soon its successor has them
// all. Part of `make bench-machine`.
import { join } from "node:path"
import { packGuest } from "@ovms/testkit/image.ts"
import { connect } from "../packages/ovm/src/api/client.ts"
import { isAdopted, kibibytes, killDaemon, startDaemon, untilListed } from "./daemons.ts"
import { withHome } from "./programs.ts"
import { median, spread } from "./turns.ts"

const MACHINES = 200
const ROUNDS = 3
const ASKED = 1000
const P99_MS = 20
const MIB = 60
const MIB_EACH = 0.2
const ADOPTED_MS = 2000
/** Until what the answers were made of is collected. */
const REST_MS = 15_000

const verdict = (holds: boolean) => (holds ? "holds" : "MISSED")

await withHome(async (env, home) => {
  await packGuest(join(home, "store"), "many:1", "tick_ms=60000 hlt=1", {
    resources: { vcpus: 1, memory: 32 << 20 },
  })
  await Bun.write(join(home, "daemon.json"), JSON.stringify({ limits: { running: MACHINES } }))
  const runtime = connect(join(home, "ovm.sock"))
  let daemon = startDaemon(env)
  await untilListed(runtime, () => true)
  const ids: string[] = []
  for (let count = 0; count < MACHINES; count++)
    ids.push((await runtime.start({ manifest: "many:1" })).instance_id)
  await untilListed(runtime, (all) => all.length === MACHINES && all.every(isAdopted))

  const answers: number[] = []
  for (let count = 0; count < ASKED; count++) {
    const began = performance.now()
    await runtime.status(ids[count % MACHINES] ?? "")
    answers.push(performance.now() - began)
  }
  spread(`status with ${MACHINES} machines (bound p99 ${P99_MS} ms)`, answers)
  const lists: number[] = []
  for (let count = 0; count < ASKED / 10; count++) {
    const began = performance.now()
    await runtime.list()
    lists.push(performance.now() - began)
  }
  spread(`list of ${MACHINES} machines (bound p99 ${P99_MS} ms)`, lists)
  const resident = async () => (await kibibytes(daemon.pid ?? 0, "status", "VmRSS")) / 1024
  const [most, busy] = [MIB + MACHINES * MIB_EACH, await resident()]
  await Bun.sleep(REST_MS)
  const rests = await resident()
  console.log(
    `the daemon of ${MACHINES} machines: ${rests.toFixed(1)} MiB at rest (bound ${most}: ${verdict(rests <= most)}), ${busy.toFixed(1)} MiB after all these answers`,
  )

  const adopted: number[] = []
  for (let round = 0; round < ROUNDS; round++) {
    await killDaemon(daemon)
    const began = performance.now()
    daemon = startDaemon(env)
    await untilListed(runtime, (all) => all.length === MACHINES && all.every(isAdopted))
    adopted.push(performance.now() - began)
  }
  const took = median(adopted)
  console.log(
    `all ${MACHINES} are adopted after ${took.toFixed(0)} ms (bound ${ADOPTED_MS} ms: ${verdict(took <= ADOPTED_MS)})`,
  )
  for (const id of ids) await runtime.remove(id, { force: true })
  await killDaemon(daemon)
})
