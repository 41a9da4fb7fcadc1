import { expect, setDefaultTimeout, test } from "bun:test"
import { fileURLToPath } from "node:url"
import { toy } from "@ovms/testkit/toy/index.ts"
import type { LaunchPlan } from "./plan.ts"
import { vmmSuite } from "./vmm.suite.ts"

// Real processes, on a host that may be busy.
setDefaultTimeout(240_000)

// What the suite asks of the life of a machine it asks of any VMM: this one has nothing of QEMU's.
const module = fileURLToPath(import.meta.resolve("@ovms/testkit/toy/index.ts"))
vmmSuite("toy", { module, factory: "toy", missing: "", snapshots: false, lifeOnly: true })

// OVMS-FBC-013
test("a VMM without fw_cfg finds an Ignition configuration fatal", async () => {
  const plan: LaunchPlan = {
    id: "x",
    directory: "/nowhere",
    resources: { vcpus: 1, memory: 1 << 20 },
    kernel: { path: "/nowhere/kernel", args: "" },
    devices: [],
    consoleLimit: 1 << 20,
  }
  const vmm = toy("/nowhere")
  expect(await vmm.check(plan)).toEqual([])
  expect(await vmm.check({ ...plan, ignition: { path: "/nowhere/ignition.json" } })).toEqual([
    { pointer: "config/ignition", severity: "fatal", reason: "it has no fw_cfg" },
  ])
})
