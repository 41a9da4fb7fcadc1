// Two hundred tiny machines: how soon the daemon answers, what it needs of memory, and how soon its successor has them
// all. Part of `make bench-machine`.
import { type ChildProcess, spawn } from "node:child_process"
import { readFile } from "node:fs/promises"
import { join } from "node:path"
import { packGuest } from "@ovms/testkit/image.ts"
import { connect } from "../packages/ovm/src/api/client.ts"
import type { InstanceInfo, Runtime } from "../packages/ovm/src/runtime/interfaces.ts"
import { OVM, withHome } from "./programs.ts"
import { median, spread } from "./turns.ts"

const MACHINES = 200
const ROUNDS = 3
const ASKED = 1000
const P99_MS = 20
const MIB = 60
const MIB_EACH = 0.2
const ADOPTED_MS = 2000

async function until(runtime: Runtime, done: (all: readonly InstanceInfo[]) => boolean): Promise<void> {
  for (;;) {
    const all = await runtime.list().catch(() => undefined)
    if (all && done(all)) return
    await Bun.sleep(5)
  }
}

const isAdopted = ({ state, reachable }: InstanceInfo) => state === "running" && reachable === undefined

async function end(daemon: ChildProcess): Promise<void> {
  const ended = new Promise((resolve) => daemon.once("exit", resolve))
  daemon.kill("SIGKILL")
  await ended
}

async function memory({ pid }: ChildProcess): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, "utf8")
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) / 1024
}

const verdict = (holds: boolean) => (holds ? "holds" : "MISSED")

await withHome(async (env, home) => {
  await packGuest(join(home, "store"), "many:1", "tick_ms=60000 hlt=1", {
    resources: { vcpus: 1, memory: 32 << 20 },
  })
  await Bun.write(join(home, "daemon.json"), JSON.stringify({ limits: { running: MACHINES } }))
  const runtime = connect(join(home, "ovm.sock"))
  const start = () => spawn(OVM, ["daemon"], { env, stdio: "ignore" })
  let daemon = start()
  await until(runtime, () => true)
  const ids: string[] = []
  for (let count = 0; count < MACHINES; count++)
    ids.push((await runtime.start({ manifest: "many:1" })).instance_id)
  await until(runtime, (all) => all.length === MACHINES && all.every(isAdopted))

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
  const [most, used] = [MIB + MACHINES * MIB_EACH, await memory(daemon)]
  console.log(
    `the daemon of ${MACHINES} machines: ${used.toFixed(1)} MiB (bound ${most}: ${verdict(used <= most)})`,
  )

  const adopted: number[] = []
  for (let round = 0; round < ROUNDS; round++) {
    await end(daemon)
    const began = performance.now()
    daemon = start()
    await until(runtime, (all) => all.length === MACHINES && all.every(isAdopted))
    adopted.push(performance.now() - began)
  }
  const took = median(adopted)
  console.log(
    `all ${MACHINES} are adopted after ${took.toFixed(0)} ms (bound ${ADOPTED_MS} ms: ${verdict(took <= ADOPTED_MS)})`,
  )
  for (const id of ids) await runtime.remove(id, { force: true })
  await end(daemon)
})
