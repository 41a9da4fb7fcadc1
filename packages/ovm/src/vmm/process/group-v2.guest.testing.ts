import { spawnSync } from "node:child_process"
import { chownSync, existsSync, mkdirSync, mkdtempSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { groupPlaces } from "../../host/cgroup.ts"
import { kill, startedIn, usageOf } from "./identity.ts"
import { spawnKept } from "./keeper.ts"

// What group-v2.test.ts has done in a guest, as root and as others: a line of JSON for each.

const BOUNDS = { cpuQuota: 0.5, memory: 64 << 20, pids: 20 }
const DELEGATED = "/sys/fs/cgroup/delegated"

/** What one that never rests gets in 4 s, and what becomes of its group. */
async function burn() {
  const directory = mkdtempSync("/tmp/machine-")
  await spawnKept(["sh", "-c", "while :; do :; done"], { directory, consoleLimit: 1000, bounds: BOUNDS })
  await Bun.sleep(500)
  const vmm = await startedIn(directory)
  if (!vmm) throw new Error(readFileSync(join(directory, "stderr"), "utf8"))
  const group = readFileSync(join(directory, "cgroup"), "utf8")
  const read = (name: string) => readFileSync(join(group, name), "utf8").trim()
  const look = async () => ({ at: performance.now(), used: (await usageOf(vmm))?.cpuTime ?? 0 })
  const before = await look()
  await Bun.sleep(4000)
  const after = await look()
  const found = {
    share: (after.used - before.used) / (after.at - before.at),
    alone: read("cgroup.procs") === String(vmm.pid),
    bound: [read("cpu.max"), read("cpu.weight.nice"), read("memory.max"), read("pids.max")],
  }
  await kill(vmm)
  for (let looks = 0; !existsSync(join(directory, "exit")) && looks < 100; looks++) await Bun.sleep(50)
  return { ...found, left: existsSync(group) }
}

async function tried(): Promise<unknown> {
  try {
    return { places: groupPlaces(BOUNDS), ...(await burn()) }
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    return { code, message }
  }
}

/** As a user that systemd has delegated a group to, whose process is in one of it; or has not. */
function asUser(where: "delegated" | "undelegated"): void {
  const join = where === "delegated" ? `echo $$ >${DELEGATED}/daemon/cgroup.procs; ` : ""
  const script = `${join}exec su user -c "bun main.js ${where}"`
  spawnSync("sh", ["-c", script], { stdio: "inherit" })
}

const [, , who = "root"] = process.argv
console.log(`TRIED ${who} ${JSON.stringify(await tried())}`)
if (who === "root") {
  mkdirSync(join(DELEGATED, "daemon"), { recursive: true })
  for (const name of ["", "cgroup.procs", "cgroup.subtree_control", "daemon", "daemon/cgroup.procs"])
    chownSync(join(DELEGATED, name), 1000, 1000)
  asUser("delegated")
  asUser("undelegated")
}
