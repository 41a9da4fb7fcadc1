import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { mkdtemp, readFile, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { refusal } from "@ovms/testkit/disks.ts"
import { guestMissing } from "@ovms/testkit/guest.ts"
import { packGuest } from "@ovms/testkit/image.ts"
import { until } from "@ovms/testkit/until.ts"
import type { LocalRuntime } from "./local.ts"
import { openRuntime } from "./runtime.testing.ts"
import { hasEnded } from "./states.ts"

// Real machines, on a host that may be busy.
setDefaultTimeout(120_000)

let root: string
let runtime: LocalRuntime

/** One whose VMM is stopped: what it is told to do it does not answer. */
async function mute(): Promise<{ readonly id: string; readonly pid: number }> {
  const { instance_id: id } = await runtime.start({ manifest: "steady" })
  await until("it runs", () => runtime.status(id), { is: ({ state }) => state === "running" })
  const pid = Number((await readFile(join(root, "instances", id, "pid"), "utf8")).split(" ")[0])
  process.kill(pid, "SIGSTOP")
  return { id, pid }
}

describe.skipIf(guestMissing !== "")(`a guest that is told to stand still or go on ${guestMissing}`, () => {
  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), "ovm-set-guest-"))
    await packGuest(join(root, "store"), "steady:latest", "tick_ms=50")
    runtime = await openRuntime(root)
  })
  afterAll(async () => {
    for (const { instance_id } of await runtime.list()) await runtime.remove(instance_id, { force: true })
    await runtime.close()
    await rm(root, { recursive: true })
  })

  // OVMS-API-141
  test.each(["pause", "resume"] as const)(
    "%s: one that is stopped, or ends, before it has answered is refused as one that has ended",
    async (verb) => {
      const stopped = await mute()
      const before = refusal(runtime[verb](stopped.id))
      await runtime.stop({ instance_id: stopped.id, grace_ms: 0 })
      expect(await before).toMatchObject({ code: "OVM_STATE_CONFLICT" })

      const killed = await mute()
      const meanwhile = refusal(runtime[verb](killed.id))
      await Bun.sleep(50)
      process.kill(killed.pid, "SIGKILL")
      expect(await meanwhile).toMatchObject({ code: "OVM_STATE_CONFLICT", detail: { state: "failed" } })
      await until("both have ended", () => runtime.list(), {
        is: (all) => all.every(({ state }) => hasEnded(state)),
      })
    },
  )
})
