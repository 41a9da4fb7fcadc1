import { existsSync, mkdtempSync, readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import type { LaunchPlan } from "../../plan.ts"
import { waitForExit } from "../../process/exit.ts"
import { kill } from "../../process/identity.ts"
import type { FirecrackerCapabilities } from "../capabilities.ts"
import { modelOfFirecracker } from "../model.ts"
import { exitOfFirecracker } from "../result.ts"
import { startFirecracker } from "../start.ts"
import { inWorkplace } from "../workplace.ts"
import { UIDS } from "./settings.ts"

// What group-v2.test.ts has done in a guest: Firecracker in a jail, which needs no KVM before it has a machine.

const [BINARY, JAILER] = ["/bin/firecracker", "/bin/jailer"]
const directory = mkdtempSync("/tmp/machine-")
const found: FirecrackerCapabilities = {
  ...{ name: "firecracker", version: "1", binary: BINARY, snapshotFormat: "" },
  ...{ accelerator: "kvm", acceleratorReason: "", accelerators: ["kvm"] },
  jailer: { path: JAILER, uids: UIDS },
}
const plan: LaunchPlan = {
  ...{ id: "test", directory, devices: [], consoleLimit: 1000 },
  resources: { vcpus: 1, memory: 64 << 20 },
  bounds: { cpuQuota: 0.5, memory: 64 << 20, pids: 20 },
}

async function tried(): Promise<unknown> {
  const model = modelOfFirecracker(plan, found)
  const { record, group, ...facts } = await inWorkplace(found, directory, async (workplace) => {
    const starting = { found, plan, workplace, overlay: undefined, model }
    return await startFirecracker(starting, {}, async ({ record }) => {
      const group = readFileSync(join(directory, "cgroup"), "utf8")
      const read = (name: string) => readFileSync(join(group, name), "utf8").trim()
      const status = readFileSync(`/proc/${record.pid}/status`, "latin1")
      const seen = {
        group,
        member: read("cgroup.procs").split("\n").includes(String(record.pid)),
        bound: [read("cpu.max"), read("cpu.weight.nice"), read("memory.max"), read("pids.max")],
        uid: Number(/^Uid:\s*(\d+)/m.exec(status)?.[1]),
        files: readdirSync(`/proc/${record.pid}/root`).sort(),
      }
      await kill(record)
      return { ...seen, record }
    })
  })
  // As whoever runs machines does, once they have ended.
  await exitOfFirecracker(record, await waitForExit(directory, record))
  for (let looks = 0; existsSync(group) && looks < 100; looks++) await Bun.sleep(50)
  return { ...facts, left: existsSync(group) || existsSync(join(directory, "jail")) }
}

const said = await tried().catch((thrown: unknown) => ({ error: String(thrown) }))
console.log(`TRIED jailed ${JSON.stringify(said)}`)
