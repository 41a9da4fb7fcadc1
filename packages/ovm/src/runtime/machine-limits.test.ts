import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { refusal } from "@ovms/testkit/disks.ts"
import { guestMissing } from "@ovms/testkit/guest.ts"
import { packGuest } from "@ovms/testkit/image.ts"
import type { MachineLimits } from "./limits.ts"
import { openRuntime } from "./runtime.testing.ts"

setDefaultTimeout(120_000)

const MiB = 2 ** 20

describe.skipIf(guestMissing !== "")(`what a machine may have at most ${guestMissing}`, () => {
  let root: string
  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), "ovm-most-"))
    const store = join(root, "store")
    await packGuest(store, "plain:1", "tick_ms=20")
    await packGuest(store, "many:1", "tick_ms=20", { resources: { vcpus: 3 } })
  })
  afterAll(() => rm(root, { recursive: true }))

  const open = (machine: MachineLimits) => openRuntime(root, { limits: { machine } })

  // OVMS-LIM-024
  test.each([
    ["plain:1", { vcpus: 3 }, "vcpus", { vcpus: 2 }],
    ["plain:1", { memory: 65 * MiB }, "memory", { memory: 64 * MiB }],
    ["plain:1", { cpuQuota: 1.6 }, "cpuQuota", { cpuQuota: 1.5 }],
    ["many:1", {}, "vcpus", { vcpus: 2 }],
  ] as const)(
    "%s with %j is refused by name, and nothing is left",
    async (manifest, overrides, name, most) => {
      const runtime = await open(most)
      for (const how of ["start", "create"] as const) {
        const { code, message, detail } = await refusal(runtime[how]({ manifest, overrides }))
        expect([code, message]).toEqual([
          "OVM_UNSUPPORTED",
          expect.stringContaining(`limits.machine.${name}`),
        ])
        expect(detail).toEqual([expect.objectContaining({ pointer: name })])
      }
      expect(await runtime.list()).toEqual([])
      // What is as much as a machine may have is.
      if (name === "memory") {
        const { instance_id } = await runtime.create({ manifest: "plain:1", overrides: { memory: 64 * MiB } })
        await runtime.remove(instance_id)
      }
      await runtime.close()
    },
  )
})
