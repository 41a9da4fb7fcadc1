// How long ovm packs a raw disk that is nearly all holes, beside sha256sum of it, which is the least that can be done,
// and cp --sparse=always, which does not hash. `make bench-sparse`; bench/sparse.ts [--size GIB].
import { randomBytes } from "node:crypto"
import { mkdtempSync, rmSync, statSync } from "node:fs"
import { open } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { parseArgs } from "node:util"
import { buildGuest } from "@ovms/testkit/guest.ts"
import { duration, OVM, output } from "./programs.ts"
import { inTurns, report } from "./turns.ts"

const { values: options } = parseArgs({
  options: { size: { type: "string", default: "8" }, rounds: { type: "string", default: "3" } },
})
const GiB = 2 ** 30
const DATA = 4 * 2 ** 20
/** Of the time of one hash: reading a disk twice would be above it. */
const BOUND = 1.5

const folder = mkdtempSync(join(tmpdir(), "ovm-bench-sparse-"))
const disk = join(folder, "disk.raw")
const home = join(folder, "home")

const env = { ...process.env, OVM_HOME: home }

try {
  const size = Number(options.size) * GiB
  {
    await using file = await open(disk, "w")
    await file.truncate(size)
    await file.write(randomBytes(DATA), 0, DATA, Math.floor(size / 3 / 4096) * 4096)
  }
  const kernel = await buildGuest()
  const machine = ["pack", "--kernel", kernel, "--memory", "32MiB", "--layer", disk, "-t", "bench/sparse:1"]
  const [pack = 0, hash = 0, copy = 0] = await inTurns(
    Number(options.rounds),
    () => {
      rmSync(home, { recursive: true, force: true })
      return duration([OVM, ...machine], env)
    },
    () => duration(["sha256sum", disk]),
    () => duration(["cp", "--sparse=always", disk, join(folder, "copy")]),
  )
  report(`pack of ${options.size} GiB with 4 MiB in them`, pack, { name: "sha256sum", took: hash }, BOUND)
  console.log(`cp --sparse=always, which does not hash: ${copy.toFixed(1)} ms`)
  const [store] = output(["du", "-sm", join(home, "store")]).split("\t")
  console.log(`the store has ${store} MiB of the disk's ${Math.round(statSync(disk).size / 2 ** 20)}`)
} finally {
  rmSync(folder, { recursive: true, force: true })
}
