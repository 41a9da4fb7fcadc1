import { afterAll, beforeAll, expect, test } from "bun:test"
import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { compileChecked } from "@ovms/testkit/checked.ts"
import { SOURCES, Workshop } from "./agent.testing.ts"

// OVMS-AGT-070: who is told to power the guest off, and in whose place the agent does it.

const workshop = new Workshop()
afterAll(() => workshop[Symbol.dispose]())
const program = join(workshop.root, "first-program")
beforeAll(() => {
  const source = join(import.meta.dir, "first-program.c")
  compileChecked(SOURCES, program, ["-D_GNU_SOURCE", "-Dmain=agent_main", source])
})

// Blocked and caught signals, as they have them.
test.each([
  ["systemd", true, "7be3c0fe28014a03", "00000001800004ec"],
  ["busybox's init, between two waits", true, "0000000020094a07", "0000000000000000"],
  ["the init of System V", true, "0000000000000000", "0000000051cbccf7"],
  ["a shell", false, "0000000000000000", "0000000000010002"],
  ["a shell whose handler runs just now", false, "fffffffe7ffbfeff", "0000000000010002"],
  ["acpid", false, "0000000000000000", "0000000000000000"],
])("%s listens to what would have it power off: %p", (_, is, blocked, caught) => {
  mkdirSync(join(workshop.root, "1"), { recursive: true })
  writeFileSync(join(workshop.root, "1/status"), `Name:\tone\nSigBlk:\t${blocked}\nSigCgt:\t${caught}\n`)
  expect(Bun.spawnSync([program, workshop.root]).exitCode).toBe(is ? 0 : 1)
})
