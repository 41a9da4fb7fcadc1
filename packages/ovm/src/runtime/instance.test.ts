import { expect, setDefaultTimeout, test } from "bun:test"
import { existsSync, writeFileSync } from "node:fs"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { OvmError } from "../errors.ts"
import { Instance } from "./instance.ts"
import type { InstanceInfo } from "./interfaces.ts"

setDefaultTimeout(240_000)

const INFO: InstanceInfo = {
  instance_id: "00000000-0000-4000-8000-000000000000",
  name: "one",
  state: "starting",
  image: { reference: "localhost/tests/none:1" },
  resources: { vcpus: 1, memory: 1 << 25 },
  timings_ms: {},
  warnings: [],
  created: "2026-01-01T00:00:00Z",
}

test("an instance that is removed at the moment of its end leaves no directory, whatever is still to be told of it", async () => {
  const root = await mkdtemp(join(tmpdir(), "ovm-instance-"))
  for (let round = 0; round < 60; round++) {
    const instance = new Instance(join(root, String(round)), INFO)
    instance.create()
    await instance.enrol()
    for (let overlay = 0; overlay < 40; overlay++)
      writeFileSync(join(instance.directory, `overlay-${overlay}.qcow2`), "")
    const ended = instance.fail(new OvmError("OVM_VMM_FAILED", "it ended"))
    await instance.ended
    const removed = instance.discard()
    const told = instance.change({ stop_method: "killed" })
    await Promise.all([ended, removed, told])
    expect(existsSync(instance.directory)).toBe(false)
  }
  await rm(root, { recursive: true })
})
