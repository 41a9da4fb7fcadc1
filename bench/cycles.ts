// `make bench-cycles`.
import { readdirSync, readFileSync, readlinkSync } from "node:fs"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { packGuest } from "@ovms/testkit/image.ts"
import { connect } from "../packages/ovm/src/api/client.ts"
import type { Runtime } from "../packages/ovm/src/runtime/interfaces.ts"
import { OVM, output, untilSaid, withHome } from "./programs.ts"

const CYCLES = 300
/** Before them: what is loaded and compiled once is no leak. */
const FIRST = 60
/** By how much the daemon's memory may differ, in MiB. */
const BOUND_MIB = 5
/** How long memory that is free is given to be given back. */
const REST_MS = 5000

interface Left {
  readonly memory: number
  readonly descriptors: number
  readonly files: number
  readonly processes: number
}

async function cycle(runtime: Runtime): Promise<void> {
  const { instance_id } = await runtime.start({ manifest: "bench:1" })
  const is = async (wanted: string) => {
    for (;;) {
      const { state, error } = await runtime.status(instance_id)
      if (state === wanted) return
      if (state === "failed") throw new Error(`the machine failed: ${error?.message}`)
      await sleep(2)
    }
  }
  await is("running")
  // A guest that still boots does not hear of its power button.
  await untilSaid(await runtime.logs(instance_id, { follow: true }), "TICK")
  await runtime.stop({ instance_id })
  await is("stopped")
  await runtime.remove(instance_id)
}

function left(pid: number, home: string): Left {
  const proc = `/proc/${pid}`
  const [, rss] = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(join(proc, "status"), "latin1")) ?? []
  return {
    memory: Number(rss) / 1024,
    descriptors: readdirSync(join(proc, "fd")).length,
    files: readdirSync(home, { recursive: true }).length,
    processes: readdirSync("/proc").filter((name) => isBelow(name, home)).length,
  }
}

/** Whether it is a process that works in this root. */
function isBelow(pid: string, home: string): boolean {
  if (!/^\d+$/.test(pid)) return false
  try {
    return readlinkSync(`/proc/${pid}/cwd`).startsWith(home)
  } catch {
    return false
  }
}

await withHome(async (env, home) => {
  await packGuest(join(home, "store"), "bench:1", "tick_ms=50 button=1")
  const pid = Number(output([OVM, "daemon", "--detach"], env))
  const runtime = connect(join(home, "ovm.sock"))
  const cycles = async (count: number) => {
    for (let done = 0; done < count; done++) await cycle(runtime)
    await sleep(REST_MS)
    return left(pid, home)
  }
  const before = await cycles(FIRST)
  const after = await cycles(CYCLES)
  const more = after.memory - before.memory
  const verdict = Math.abs(more) <= BOUND_MIB ? "holds" : "MISSED"
  console.log(`${CYCLES} starts and stops, before and after:`)
  console.log(
    `  memory: ${before.memory.toFixed(1)} and ${after.memory.toFixed(1)} MiB (bound ${BOUND_MIB}: ${verdict})`,
  )
  for (const what of ["descriptors", "files", "processes"] as const)
    console.log(
      `  ${what}: ${before[what]} and ${after[what]} (${before[what] === after[what] ? "equal" : "NOT EQUAL"})`,
    )
})
