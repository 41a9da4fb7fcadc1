import { expect, test } from "bun:test"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { refusal } from "@ovms/testkit/disks.ts"
import { agentInside } from "./agents.ts"
import { Instance } from "./instance.ts"

test("an agent whose machine is still being started when the wait is over has not answered [OVMS-API-322]", async () => {
  const instance = new Instance(join(tmpdir(), "no-such-instance"), {
    instance_id: "00000000-0000-4000-8000-000000000000",
    name: "one",
    state: "starting",
    image: { reference: "localhost/tests/none:1" },
    resources: { vcpus: 1, memory: 1 << 25 },
    timings_ms: {},
    warnings: [],
    created: "2026-01-01T00:00:00Z",
  })
  const waited = await refusal(agentInside(instance, { withinMs: 20 }))
  expect(waited).toMatchObject({
    code: "OVM_AGENT_UNAVAILABLE",
    message: expect.stringContaining("still being started"),
  })
})
