import { afterEach, beforeEach, expect, test } from "bun:test"
import { existsSync } from "node:fs"
import { mkdir, mkdtemp, readFile, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { refusal } from "@ovms/testkit/disks.ts"
import { until } from "@ovms/testkit/until.ts"
import type { State } from "./interfaces.ts"
import { type InstanceRecord, RECORD } from "./record.ts"
import { RecordFile } from "./record-file.ts"

let root: string
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "ovm-record-file-"))
})
afterEach(() => rm(root, { recursive: true }))

// OVMS-STA-027
test("what could not be written is written sometime, whatever else could not be meanwhile", async () => {
  const directory = join(root, "instance")
  const file = new RecordFile(directory, false)
  await file.writeSometime(() => recordOf("stopped"))
  await refusal(file.write(() => recordOf("stopped")))
  await mkdir(directory)
  await until("there is a record", () => existsSync(join(directory, RECORD)))
  expect(JSON.parse(await readFile(join(directory, RECORD), "utf8")).info.state).toBe("stopped")
  await file.close()
})

function recordOf(state: State): InstanceRecord {
  const facts = { resources: {}, timings_ms: {}, warnings: [], created: "2026-01-01T00:00:00.000Z" }
  return {
    schema: 1,
    info: { instance_id: "id", name: "one", state, image: { reference: "demo" }, ...facts },
  }
}
