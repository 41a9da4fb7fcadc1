import { afterEach, beforeEach, expect, test } from "bun:test"
import { mkdir, mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { InstanceInfo } from "./interfaces.ts"
import { createDirectory, type InstanceRecord, readRecords, writeRecord } from "./record.ts"

let root: string
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "ovm-record-"))
})
afterEach(() => rm(root, { recursive: true }))

test("a record comes back as it was written, in a directory for its user alone", async () => {
  const record = recordOf("a")
  createDirectory(join(root, "a"))
  await writeRecord(join(root, "a"), record)
  expect(await readRecords(root)).toEqual([record])
  expect((await stat(join(root, "a"))).mode & 0o777).toBe(0o700)
})

test("what a crash left without a whole record is swept, whatever it holds", async () => {
  createDirectory(join(root, "whole"))
  await writeRecord(join(root, "whole"), recordOf("whole"))
  await mkdir(join(root, "empty"))
  await mkdir(join(root, "half"))
  await writeFile(join(root, "half/instance.json"), '{"schema":1,"info":{"instance_id":"ha')
  await mkdir(join(root, "moved"))
  await writeRecord(join(root, "moved"), recordOf("another"))
  expect((await readRecords(root)).map((record) => record.info.instance_id)).toEqual(["whole"])
  expect(await readdir(root)).toEqual(["whole"])
})

function recordOf(id: string): InstanceRecord {
  const info: InstanceInfo = {
    instance_id: id,
    name: id,
    state: "stopped",
    image: { reference: "demo:latest" },
    resources: { vcpus: 1, memory: 1 << 20 },
    timings_ms: {},
    warnings: [],
    created: "2026-01-01T00:00:00.000Z",
  }
  return { schema: 1, info }
}
