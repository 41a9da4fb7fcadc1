import { afterAll, beforeAll, expect, test } from "bun:test"
import { mkdirSync, rmSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { compileChecked } from "@ovms/testkit/checked.ts"
import { SOURCES, Workshop } from "./agent.testing.ts"

// OVMS-AGT-142: where a machine is powered off, and where it has to be reset. That a Linux resets then is seen on
// Firecracker (docs/firecracker.md).

const workshop = new Workshop()
afterAll(() => workshop[Symbol.dispose]())
const program = join(workshop.root, "power")
beforeAll(() => {
  const source = join(import.meta.dir, "power.c")
  compileChecked(SOURCES, program, ["-D_GNU_SOURCE", "-Dmain=agent_main", source])
})

const TABLES = "firmware/acpi/tables"
const PORT = "class/virtio-ports/vport0p1/name"
const WITH_S5 = "DSDT....\x08_S5_\x12\x06\x04"

test.skipIf(process.arch !== "x64").each<readonly [string, boolean, Record<string, string>]>([
  ["a PC", true, { [`${TABLES}/DSDT`]: WITH_S5, [`${TABLES}/FACP`]: "FACP" }],
  [
    "one with the state in a further table",
    true,
    { [`${TABLES}/DSDT`]: "DSDT", [`${TABLES}/SSDT3`]: WITH_S5 },
  ],
  ["one with a long table", true, { [`${TABLES}/DSDT`]: "x".repeat(300_000) + WITH_S5 }],
  ["Firecracker", false, { [`${TABLES}/DSDT`]: "DSDT_CRS_", [`${TABLES}/FACP`]: "_S5_" }],
  ["Firecracker, to a kernel without ACPI", false, {}],
  ["a PC, to a kernel without ACPI", true, { [PORT]: "org.ovms.agent.0\n" }],
])("%s powers off: %p", (_, can, files) => {
  const sys = join(workshop.root, "sys")
  rmSync(sys, { recursive: true, force: true })
  mkdirSync(sys)
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(sys, name)), { recursive: true })
    writeFileSync(join(sys, name), content, "latin1")
  }
  expect(Bun.spawnSync([program, sys]).exitCode).toBe(can ? 0 : 1)
})
