import { must } from "../../check.ts"
import { signal } from "../../subject/processes.ts"
import type { Plan, Scene } from "./plan.ts"
import { snapshotPlan } from "./snapshots.ts"
import { processesOf } from "./unreachable.ts"

/** Where the guest's log begins on its disk: a sector for each number that it counts to. */
const LOG = 8
/** The numbers whose first byte is a letter. */
const [FIRST, LAST] = [65, 120]
const NUMBERS = Array.from({ length: LAST - FIRST + 1 }, (_, at) => FIRST + at)
const READS = NUMBERS.map((number) => `read=${LOG + number}`).join(" ")
const ARGS = `console=ttyS0 tick_ms=30 log=${LOG} flush=1 ${READS}`

/** The highest number of which the guest was told that it is on the disk. */
function flushed(text: string): number {
  return Math.max(0, ...[...text.matchAll(/FLUSHED (\d+)\r?\n/g)].map(([, number]) => Number(number)))
}

/** A machine whose VMM is killed so long after a snapshot of it was asked for; what was flushed has to be there. */
async function killedAfter({ runtime, start, machine }: Scene, milliseconds: number): Promise<void> {
  const manifest = await machine({ diskless: false, disk: Buffer.alloc(1 << 20) })
  const id = await start({ manifest, overrides: { args: ARGS, memory: 128 << 20 } })
  await runtime.says(id, new RegExp(`FLUSHED ${FIRST + 3}\\r?\\n`))
  const pids = await processesOf(id)
  const body = { instance_id: id, tag: `suite-killed-${milliseconds}` }
  const taken = runtime.raw("POST", "/snapshot", { body }).catch(() => undefined)
  await new Promise((resolve) => setTimeout(resolve, milliseconds))
  signal(pids, "SIGKILL")
  await taken
  await runtime.until("its end is found", async () => (await runtime.status(id)).state === "failed")
  const last = flushed(await runtime.logs(id))
  await runtime.ask("POST /instances/{instance_id}/start", id)
  const text = await runtime.says(id, /TICK 1\r?\n/)
  for (const number of NUMBERS.filter((one) => one <= last)) {
    const wanted = `SECTOR ${LOG + number} [${String.fromCharCode(number)}]`
    must(text.includes(wanted), `what was flushed ${last - number} numbers before the end is gone: ${wanted}`)
  }
}

export const endedWhileTakenPlans: readonly Plan[] = [
  snapshotPlan("ended-while-it-is-taken", ["OVMS-SNP-180"], async (scene) => {
    for (const milliseconds of [30, 150]) await killedAfter(scene, milliseconds)
  }),
]
