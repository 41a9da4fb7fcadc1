import { expect, test } from "bun:test"
import type { InstanceInfo, Runtime } from "../runtime/interfaces.ts"
import { metricsOf } from "./metrics.ts"

// What a real runtime answers is in test/operating.test.ts: no name that it takes has such characters.

// OVMS-API-221
test("what others have named is escaped", async () => {
  const web = {
    instance_id: "6f1d2c3b-4a59-4687-9a0b-c1d2e3f40516",
    name: 'a"b\\c\nd 1',
    state: "running",
    resources: { memory: 1 },
    timings_ms: {},
  } as unknown as InstanceInfo
  const runtime = {
    info: async () => ({ version: "1", instances: { total: 1, running: 1, limit: 2 }, warm: [] }),
    list: async () => [web],
    networks: async () => [],
    status: async () => web,
  } as unknown as Runtime
  const text = await metricsOf(runtime)
  expect(text).toContain(
    `\novm_instance_memory_bytes{instance_id="${web.instance_id}",name="a\\"b\\\\c\\nd 1"} 1\n`,
  )
  expect(
    text.split("\n").every((line) => line === "" || /^(# (HELP|TYPE) |[a-z_]+(\{.*\})? [\d.]+$)/.test(line)),
  ).toBe(true)
})
