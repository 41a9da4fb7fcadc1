// What a console that is written to without rest costs: its keeper, and a reader that follows as the daemon's do. Part
// of `make bench-machine`.
import { mkdtemp, readFile, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { readConsole } from "../packages/ovm/src/vmm/console.ts"
import { killGroup } from "../packages/ovm/src/vmm/process/group.ts"
import { spawnKept } from "../packages/ovm/src/vmm/process/keeper.ts"
import { kibibytes } from "./daemons.ts"

const SECONDS = 10
const RATE = 50e6
const BOUND = 0.3
const PSS_BOUND = 300
const KEPT = 1 << 20

/** Says lines of 100 bytes, 5 MB each tenth of a second. */
const TALKER = `
  const lines = Buffer.alloc(${RATE / 10}, "x".repeat(99) + "\\n")
  const began = performance.now()
  for (let turn = 1; ; turn++) {
    require("node:fs").writeSync(1, lines)
    await Bun.sleep(Math.max(0, began + turn * 100 - performance.now()))
  }
`

/** Milliseconds of processor time; ticks of a hundredth of a second. */
async function cpu(pid: number): Promise<number> {
  const fields = (await readFile(`/proc/${pid}/stat`, "latin1")).split(") ")[1]?.split(" ") ?? []
  return (Number(fields[11]) + Number(fields[12])) * 10
}

const folder = await mkdtemp(join(tmpdir(), "ovm-bench-console-"))
const { group } = await spawnKept([process.execPath, "-e", TALKER], { directory: folder, consoleLimit: KEPT })
try {
  const over = new AbortController()
  let taken = 0
  const reading = (async () => {
    for await (const bytes of readConsole(folder, { follow: true, signal: over.signal }))
      taken += bytes.length
  })()
  await Bun.sleep(2000)
  const before = {
    kept: await cpu(group),
    own: process.cpuUsage(),
    rss: await kibibytes("self", "status", "VmRSS"),
    taken,
    at: performance.now(),
  }
  await Bun.sleep(SECONDS * 1000)
  const seconds = (performance.now() - before.at) / 1000
  const keeper = ((await cpu(group)) - before.kept) / 1000 / seconds
  const own = process.cpuUsage(before.own)
  const reader = (own.user + own.system) / 1e6 / seconds
  const share = keeper + reader
  const grown = (await kibibytes("self", "status", "VmRSS")) - before.rss
  const pss = await kibibytes(group, "smaps_rollup", "Pss")
  over.abort()
  await reading
  const percent = (of: number) => `${(of * 100).toFixed(1)} %`
  console.log(
    `a console of ${RATE / 1e6} MB/s, ${((taken - before.taken) / seconds / 1e6).toFixed(1)} MB/s of it read: keeper ${percent(keeper)} and reader ${percent(reader)} of a core (bound ${percent(BOUND)}: ${share <= BOUND ? "holds" : "MISSED"}); the reader's memory grew by ${(grown / 1024).toFixed(1)} MiB`,
  )
  console.log(`keeper: ${pss} KiB PSS (bound ${PSS_BOUND}: ${pss <= PSS_BOUND ? "holds" : "MISSED"})`)
} finally {
  await killGroup(group)
  await rm(folder, { recursive: true, force: true })
}
